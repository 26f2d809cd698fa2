package rules

// Property is one fact about a twin or a feed. Keys are URIs and may repeat.
// JSON: {"key":K} and exactly one literal member (iotics API, common.proto).
type Property struct {
	Key   string
	Value Literal
}

// LiteralKind says which literal member a property has.
type LiteralKind uint8

// The literal members of the API.
const (
	StringLiteral LiteralKind = iota // stringLiteralValue {value}
	URI                              // uriValue {value}
	LangLiteral                      // langLiteralValue {lang, value}
	TypedLiteral                     // literalValue {dataType, value}
)

// Literal is a typed value. Two literals are equal when all four parts are.
type Literal struct {
	Kind     LiteralKind
	Value    string
	Lang     string // LangLiteral only
	DataType string // TypedLiteral only: an XSD short name such as "decimal"
}

// Feed describes a named series of samples of one twin.
// JSON: {"id", "storeLast", "values":[…], "properties":[…]}.
type Feed struct {
	ID         string
	StoreLast  bool
	Values     []Value
	Properties []Property
}

// Value describes one field of a feed's samples.
type Value struct {
	Label    string // the field's name in the sample
	Comment  string
	Unit     string // a URI, or ""
	DataType string // an XSD short name: decimal, integer, string, boolean, dateTime, …
}

// Location is a WGS 84 position in degrees.
type Location struct{ Lat, Lon float64 }

// Circle is the area around a location. RadiusKm is in kilometres.
type Circle struct {
	Location
	RadiusKm float64
}

// Filter says which twins a source takes: those that have all properties, at
// least one of the text's keywords in their label or comment, and lie in the
// circle; an empty part asks for nothing.
type Filter struct {
	Properties []Property
	Text       string
	Location   *Circle
}

// Empty says that the filter asks for nothing, so every twin matches.
func (f *Filter) Empty() bool { return len(f.Properties) == 0 && f.Text == "" && f.Location == nil }

// Properties that mean something to the engine (those of the IOTICS documentation and its tutorial).
const (
	PropType              = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
	PropLabel             = "http://www.w3.org/2000/01/rdf-schema#label"
	PropComment           = "http://www.w3.org/2000/01/rdf-schema#comment"
	PropModel             = "https://data.iotics.com/app#model"
	PropCreatedFrom       = "https://data.iotics.com/app#createdFrom"
	PropDataSource        = "https://data.iotics.com/app#dataSource"
	PropInteractionConfig = "https://data.iotics.com/app#interactionConfig"
	PropHostAllowList     = "http://data.iotics.com/public#hostAllowList"
	PropHostMetaAllowList = "http://data.iotics.com/public#hostMetadataAllowList"
	TypeModel             = "https://data.iotics.com/app#Model"
	TypeInteraction       = "https://data.iotics.com/app#Interaction"
	CreatedByInteraction  = "https://data.iotics.com/app#ByInteraction"
)
