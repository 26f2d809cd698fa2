package lint

import "tocsin.internal/internal/strictjson"

// The codes of what the loader takes, though it cannot have been meant.
const (
	CodeUnreadable strictjson.Code = "E0006" // a file that cannot be opened
	CodeNothing    strictjson.Code = "E0007" // a folder without a document
	CodeSameID     strictjson.Code = "E0205" // two files of one id

	codeText      strictjson.Code = "W0310" // compared with what is of another type
	codeNoAnswer  strictjson.Code = "W0311" // a condition that is no boolean
	codeConstant  strictjson.Code = "W0312" // always true, or always false
	codeOverlap   strictjson.Code = "W0313" // condition and clearCondition are both true
	codeNever     strictjson.Code = "W0314" // a value, or a branch, that is never reached
	codeUnit      strictjson.Code = "W0315"
	codeAbsent    strictjson.Code = "W0316" // a field that a sample may lack
	codeList      strictjson.Code = "W0317" // a list where an answer or one value is wanted
	codeNoTwin    strictjson.Code = "W0320"
	codeNoFeed    strictjson.Code = "W0321"
	codeOneOutput strictjson.Code = "W0406" // one output field of several feeds

	codeStays strictjson.Code = "W0410" // a sticker that no rule and no time takes off

	codeTaken strictjson.Code = "I0400" // understood otherwise than it is written
	codeOften strictjson.Code = "I0401" // an output on every sample
)
