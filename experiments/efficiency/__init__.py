"""Why it groks, by the efficiency of circuits: S1 section 5, figures 5 to 9."""
