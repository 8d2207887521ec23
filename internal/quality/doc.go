// Package quality shows what a viewer on a bad network sees: a real browser
// publishes a picture in three layers, another watches it over a path that is made
// narrow, lossy or uneven, and what it decoded is scored.
//
//	Profile    how the path changes over time
//	Run        servers, browsers and the path, one profile after another
//	recording  what the viewer's page and the path have told
//	Score      what came of it
//	Report     all of that, for terminals, as JSON and as a page
//
// Only the path to the viewer is impaired, by a proxy in user space
// (internal/impair); the publisher's is not.
package quality
