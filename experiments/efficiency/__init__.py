"""Why networks grok: "Model and Training Efficiency", section 5, figures 5 to 9."""
