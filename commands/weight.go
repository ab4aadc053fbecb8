package commands

// weight says where a command runs.
type weight uint8

const (
	light weight = iota // in the event loop of its connection: short, and without waiting but in Conn.Block
	aside               // beside the loop: it may take long, or nobody has said that it does not
	heavy               // beside the loop, and only so many at a time
)

// heavyArguments is from how many arguments on a command is heavy work, whatever it does.
const heavyArguments = 256

// brief are the commands that are light although they are not Fast: what they do is bounded by what is sent, and they are frequent.
var brief = map[string]bool{
	"client|getname": true, "client|id": true, "client|setinfo": true, "client|setname": true, "copy": true, "del": true, "getrange": true,
	"mset": true, "msetnx": true, "ndel": true, "nmpub": true, "nmset": true, "nset": true, "nsub": true, "nunsub": true, "nwill": true,
	"psetex": true, "psubscribe": true, "punsubscribe": true, "qmpop": true, "qmpush": true, "rename": true, "set": true, "setex": true,
	"setrange": true, "ssubscribe": true, "subscribe": true, "substr": true, "sunsubscribe": true, "unsubscribe": true, "xconsume": true,
	"xextend": true, "xfetch": true, "xmappend": true, "xnack": true,
}

// readsFiles are Fast by their work in memory, and may read a file first.
var readsFiles = map[string]bool{"qget": true, "qdel": true}

// weigh is asked when the name in full is known. What the queues and streams do at length takes a slot, but for what is paced.
func (spec *Spec) weigh() weight {
	switch {
	case (spec.Flags&Fast != 0 || brief[spec.full]) && !readsFiles[spec.full]:
		return light
	case !spec.Paced && (spec.Group == "queue" || spec.Group == "stream"):
		return heavy
	}
	return aside
}
