"""What the chapters need around the science: checks of exercises (``exercises``) and numbers for the text (``glue``)."""
