"""Where rows of experience are kept and drawn from, and what memory they take."""
