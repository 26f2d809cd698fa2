// Package twins holds digital twins as values: what they say of themselves,
// how they are searched, and which twin an interaction makes of another. It
// does no I/O.
package twins

import "tocsin.internal/rules"

// Twin is a digital stand-in for a thing.
type Twin struct {
	ID         string
	Visibility string // PUBLIC or PRIVATE
	Properties []rules.Property
	Location   *rules.Location
	Feeds      []rules.Feed
	Inputs     []rules.Feed
}
