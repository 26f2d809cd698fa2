package strictjson

// Code names a kind of complaint. It never changes its meaning: people look it
// up, and switch it off, by it. The letter says how bad it is: E for an error, W
// for a warning, I for a note.
type Code string

// The codes of a document's form. The rooms that give a document its meaning
// have further ones; each has a page in rules/lint/pages.
const (
	Syntax        Code = "E0001" // not JSON
	DuplicateName Code = "E0002" // a name twice in one object
	Encoding      Code = "E0003" // not text in UTF-8
	TooLarge      Code = "E0004" // too long, or nested too deeply
	EmptyDocument Code = "E0005" // nothing in it

	UnknownField Code = "E0101"
	WrongType    Code = "E0102"
	MissingField Code = "E0103"
	WrongValue   Code = "E0104" // the type is right; and what has no code of its own
	NotUnique    Code = "E0105" // there is one of that name already
	WrongTime    Code = "E0106" // no duration
)

// Fix is an edit that mends a complaint without changing anything else that
// its author can have meant: Len bytes at Offset become Text.
type Fix struct {
	Offset int    `json:"offset"`
	Len    int    `json:"length"`
	Text   string `json:"text"`
}

// remarks are what a complaint about a place has beside its text.
type remarks struct {
	code Code
	note string
	name string
	fix  *Fix
}

func (p Place) remarked(change func(*remarks)) Place {
	var r remarks
	if p.remarks != nil {
		r = *p.remarks
	}
	change(&r)
	p.remarks = &r
	return p
}

// As is the place for complaints of that code.
func (p Place) As(code Code) Place { return p.remarked(func(r *remarks) { r.code = code }) }

// Noting is the place with a few words that stand beside the caret under it.
func (p Place) Noting(note string) Place { return p.remarked(func(r *remarks) { r.note = note }) }

// Meaning is the place with the name that is missing there, or that was meant.
func (p Place) Meaning(name string) Place { return p.remarked(func(r *remarks) { r.name = name }) }

// Instead is the place with what may safely stand there in place of what does,
// as JSON.
func (p Place) Instead(text string) Place {
	return p.remarked(func(r *remarks) { r.fix = &Fix{p.offset, p.size, text} })
}

// Renamed is the place of a name with the one that is meant, if there is no
// doubt about it; known are the names that would do. It says nothing of places
// where the name does not stand as written, or is too short to tell.
func (p Place) Renamed(written string, known []string) Place {
	const short = 3
	name, sure := Nearest(written, known)
	if !sure || len(written) < short || p.doc == nil || p.offset+p.size > len(p.doc.text) {
		return p
	}
	if string(p.doc.text[p.offset:p.offset+p.size]) != quote(written) {
		return p
	}
	return p.Instead(quote(name))
}

// Coded says whether a code was given to the place.
func (p Place) Coded() bool { return p.remarks != nil && p.remarks.code != "" }

// Start is the first character of the place: where a whole object is concerned,
// its brace is shown.
func (p Place) Start() Place {
	p.size = min(p.size, 1)
	return p
}
