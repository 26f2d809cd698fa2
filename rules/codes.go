package rules

import "tocsin.internal/internal/strictjson"

// The codes of what is wrong with the meaning of an interaction. Each has a page
// in rules/lint/pages; those of its form are in strictjson, those of expressions
// in logic.
const (
	CodeKind         strictjson.Code = "E0107" // a rule has exactly one kind
	CodeSource       strictjson.Code = "E0201"
	CodeFeed         strictjson.Code = "E0202"
	CodeEveryTwin    strictjson.Code = "E0203" // a source that asks for nothing
	CodeInhibition   strictjson.Code = "E0204"
	CodeField        strictjson.Code = "E0302" // the feed does not have it
	CodeVariable     strictjson.Code = "E0305" // the rule does not make it
	CodeContradicts  strictjson.Code = "E0401" // a field beside another one
	CodeNeeds        strictjson.Code = "E0402" // a field without another one
	CodeOtherKind    strictjson.Code = "E0403" // a field of the other kind of rules
	CodeNoMeaning    strictjson.Code = "E0404" // a member that means nothing beside the others
	CodeOutputTwice  strictjson.Code = "E0405" // two rules write one output field
	CodeWindow       strictjson.Code = "E0406" // a window, join or sequence that cannot work
	CodeUnread       strictjson.Code = "W0401" // a feed or variable that nothing reads
	CodeNoOutput     strictjson.Code = "W0402"
	CodeNoRules      strictjson.Code = "W0403"
	CodeUndescribed  strictjson.Code = "W0404" // an output feed that the interaction's feeds lack
	CodeOtherModel   strictjson.Code = "W0405"
	CodeSkips        strictjson.Code = "W0407" // a window that leaves samples out
	CodeSummaryField strictjson.Code = "W0408"
	CodeBlank        strictjson.Code = "W0409" // a field in what a rule does that the feed lacks
	CodeRecipient    strictjson.Code = "W0411" // a recipient that nobody can be
	CodeWarning      strictjson.Code = "W0499" // what has no code of its own
)
