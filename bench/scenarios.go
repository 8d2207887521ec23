package main

// scenarios lists every scenario, in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		fanoutScenario(),
		hopScenario(),
		latencyScenario(),
		viewersScenario(),
		idleScenario(),
	}
}
