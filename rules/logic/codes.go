package logic

import "tocsin.internal/internal/strictjson"

// The codes of what is wrong with an expression. Each has a page in rules/lint/pages.
const (
	CodeOperator strictjson.Code = "E0301" // there is none of that name
	CodeKeys     strictjson.Code = "E0303" // an object with other than one key
	CodeOperands strictjson.Code = "E0304" // too few, too many, or of a kind that never works
)
