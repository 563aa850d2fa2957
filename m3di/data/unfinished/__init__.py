"""Files of unfinished datasets: claim, plan, journal, receipts, folders with a temporary name."""
