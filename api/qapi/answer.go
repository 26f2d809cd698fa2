package qapi

import (
	"strconv"

	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// The names of parts of answers: each holds the fields of both dialects.

// appendTwinID appends {"value","id","hostId"}.
func (s *Space) appendTwinID(b []byte, id string) []byte {
	b = rules.AppendText(append(b, `{"value":`...), id)
	b = rules.AppendText(append(b, `,"id":`...), id)
	b = rules.AppendText(append(b, `,"hostId":`...), s.Host)
	return append(b, '}')
}

func (s *Space) twinAnswer(id string) []byte {
	return append(s.appendTwinID([]byte(`{"twinId":`), id), '}')
}

// appendValueID appends {"value"}.
func appendValueID(b []byte, id string) []byte {
	return append(rules.AppendText(append(b, `{"value":`...), id), '}')
}

// appendOld appends the older name of a feed or input: {"id":{"value"},"twinId":{"value"}}.
func appendOld(b []byte, twin, id string) []byte {
	b = appendValueID(append(b, `{"id":`...), id)
	b = appendValueID(append(b, `,"twinId":`...), twin)
	return append(b, '}')
}

// appendNew appends its newer name: {"value","id","twinId","hostId"}.
func (s *Space) appendNew(b []byte, twin, id string) []byte {
	b = rules.AppendText(append(b, `{"value":`...), id)
	b = rules.AppendText(append(b, `,"id":`...), id)
	b = rules.AppendText(append(b, `,"twinId":`...), twin)
	b = rules.AppendText(append(b, `,"hostId":`...), s.Host)
	return append(b, '}')
}

// appendFeedNames appends the members "feed" and "feedId".
func (s *Space) appendFeedNames(b []byte, twin, feed string) []byte {
	b = appendOld(append(b, `"feed":`...), twin, feed)
	return s.appendNew(append(b, `,"feedId":`...), twin, feed)
}

// appendInputNames appends the members "input" and "inputId".
func (s *Space) appendInputNames(b []byte, twin, input string) []byte {
	b = appendOld(append(b, `"input":`...), twin, input)
	return s.appendNew(append(b, `,"inputId":`...), twin, input)
}

func (s *Space) feedAnswer(twin, feed string) []byte {
	return append(s.appendFeedNames([]byte{'{'}, twin, feed), '}')
}

// AppendInputID appends the newer name of an input, as a message to it has it.
func (s *Space) AppendInputID(b []byte, twin, input string) []byte {
	return s.appendNew(b, twin, input)
}

// AppendInterest appends what a follower follows, as a sample that it gets has it.
func (s *Space) AppendInterest(b []byte, follower, followed, feed string) []byte {
	b = s.appendTwinID(append(b, `{"followerTwinId":`...), follower)
	b = appendOld(append(b, `,"followedFeed":{"feed":`...), followed, feed)
	b = s.appendNew(append(b, `},"followedFeedId":`...), followed, feed)
	return append(b, '}')
}

// appendValues appends a member "values".
func appendValues(b []byte, values []rules.Value) []byte {
	b = append(b, `"values":[`...)
	for i := range values {
		b = values[i].AppendJSON(appendComma(b, i))
	}
	return append(b, ']')
}

// appendFeeds appends a member "feeds", of feeds with their properties where they
// are wanted.
func (s *Space) appendFeeds(b []byte, t *twins.Twin, properties bool) []byte {
	b = append(b, `"feeds":[`...)
	for i := range t.Feeds {
		f := &t.Feeds[i]
		b = s.appendFeedNames(append(appendComma(b, i), '{'), t.ID, f.ID)
		b = strconv.AppendBool(append(b, `,"storeLast":`...), f.StoreLast)
		if properties {
			b = rules.AppendProperties(append(b, `,"properties":`...), f.Properties)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendInputs appends a member "inputs" in the same way.
func (s *Space) appendInputs(b []byte, t *twins.Twin, properties bool) []byte {
	b = append(b, `"inputs":[`...)
	for i := range t.Inputs {
		b = s.appendInputNames(append(appendComma(b, i), '{'), t.ID, t.Inputs[i].ID)
		if properties {
			b = rules.AppendProperties(append(b, `,"properties":`...), t.Inputs[i].Properties)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendLocation appends a member "location" and a comma, where there is one.
func appendLocation(b []byte, t *twins.Twin) []byte {
	if t.Location == nil {
		return b
	}
	return append(t.Location.AppendJSON(append(b, `"location":`...)), ',')
}

// appendDetails appends what the others see of a twin: all of it, or as much as
// a responseType says.
func (s *Space) appendDetails(b []byte, t *twins.Twin, response string) []byte {
	b = appendValueID(append(b, `{"id":`...), t.ID)
	b = s.appendTwinID(append(b, `,"twinId":`...), t.ID)
	if response == minimal {
		return append(b, '}')
	}
	if t.Location != nil {
		b = t.Location.AppendJSON(append(b, `,"location":`...))
	}
	if response == located {
		return append(b, '}')
	}
	b = rules.AppendText(append(b, `,"visibility":`...), t.Seen())
	b = rules.AppendProperties(append(b, `,"properties":`...), t.Properties)
	b = s.appendFeeds(append(b, ','), t, true)
	b = s.appendInputs(append(b, ','), t, true)
	return append(b, '}')
}

// appendComma separates the i-th element from the one before.
func appendComma(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, ',')
}
