"""What the chapters need around the science: exercises (``exercises``; a module a chapter has its checks, right answers and
wrong ones), and numbers for the text (``glue``)."""
