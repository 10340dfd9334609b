"""Many methods, many seeds: resumable, summed up."""
