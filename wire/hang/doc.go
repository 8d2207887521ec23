// Package hang holds what the tracks of a hang broadcast contain: the catalog
// that names and describes them, and the containers around each media frame.
// Every broadcast on the backbone is a hang broadcast, whoever published it. The
// package is pure.
//
// The catalog is the JSON document of track [CatalogTrack]. Each group of that
// track begins with the whole document; later objects of the group, if any, are
// RFC 7396 merge patches to it. [Document] follows them.
//
//	catalog = { "video"?: { "renditions": { "<track>": VideoConfig }, "display"?, "rotation"?, "flip"? },
//	            "audio"?: { "renditions": { "<track>": AudioConfig } }, ... }
//
// A media object is a container around the codec's bytes:
//
//	legacy = pts varint (microseconds), codec bytes
//	loc    = props_len varint, props, codec bytes
//	cmaf   = an fMP4 fragment, not read here
package hang
