"""Why and where: factors, probes, language prior, next words under noise, gradients, exact policies, attention, occlusion."""
