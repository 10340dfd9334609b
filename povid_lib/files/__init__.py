"""Files of the library: JSON lines with every fault, whole-or-nothing writes, results with their origin."""
