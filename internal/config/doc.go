// Package config reads a node's settings: one YAML file, over which the
// environment, over which flags. [Load] checks everything before it returns and
// reports all that is wrong at once, each [Problem] with the place it stands
// in, what is wrong, and what would be right. Unknown keys are errors.
//
// Every setting is a field of a section of [Config]; its name in the file is
// "section.key", in the environment TRELLIS_SECTION_KEY, as a flag
// --section-key. [Settings] lists them with their documentation.
package config
