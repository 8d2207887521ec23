package peer

// Limits of docs/wire.md, section 10. Each bounds what a parser will allocate.
const (
	MaxMessageBytes = 128 << 10 // body of a control message
	MaxEntries      = 4096      // entries in an ADVERT
	MaxKnown        = 4096      // records in a KNOWN, GRAFT, PRUNE or FRESH
	MaxKeyBytes     = 1024      // key of an advert entry: a broadcast's name fits
	MaxValueBytes   = 4096      // value of an advert entry
	MaxHops         = 16        // nodes on a path
	MaxDemand       = 512       // entries in a DEMAND
	MaxRoutes       = 256       // routes in a PLAN
	MaxAlternatives = 8         // nodes in a SUBSCRIBE_ERROR
	MaxReasonBytes  = 256       // text for the other side's log
	MaxNodeIDBytes  = 63        // a DNS label, as are cluster, region and provider
	MaxObjectBytes  = 8 << 20   // payload of one object
	maxTime         = 1 << 60   // µs since 1970
	maxStamp        = 1 << 59   // an object's times, either sign: twice their difference fits a varint
)
