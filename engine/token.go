package engine

import "tocsin.internal/bus"

// Token is a name as one token of Topic.Pattern and Event.Subject.
func Token(name string) string { return bus.Token(name) }

// Name is the reverse of [Token]. What was not well encoded stays as it is.
func Name(token string) string { return bus.Name(token) }
