"""Every row of the paper's tables and figures: as data, run by one runner, told in one table."""
