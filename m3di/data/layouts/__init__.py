"""Read and write layouts of other projects."""
