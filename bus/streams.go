package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

func (b *Bus) makeStreams(ctx context.Context) (err error) {
	s := b.config.Streams
	if b.door, err = parseTemplate(b.config.FeedSubject, b.config.Prefix); err != nil {
		return fmt.Errorf("%w: feedSubject: %w", ErrConfig, err)
	}
	if err := b.makeFeed(ctx, s.Feed); err != nil {
		return err
	}
	for _, stream := range []struct {
		into   *jetstream.Stream
		is     Stream
		config jetstream.StreamConfig
	}{
		{&b.out, s.Out, jetstream.StreamConfig{
			Description: "outcomes; the last one of a partition is its checkpoint", Subjects: b.rooted(outSubjects),
			Duplicates: 20 * time.Second, AllowBatchPublish: true, AllowAtomicPublish: true,
			AllowRollup: true, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute,
		}},
		{&b.dead, s.Dead, jetstream.StreamConfig{
			Description: "what could not be read, judged or delivered", Subjects: b.rooted([]string{"dlq.*.*"}),
			Duplicates: b.config.DuplicateWindow,
		}},
		{&b.history, s.Alerts, jetstream.StreamConfig{
			Description: "what became of every alert",
			Sources:     []*jetstream.StreamSource{{Name: s.Out.Name, FilterSubject: b.kindSubject(rules.Alert)}},
		}},
		{&b.notify, s.Notify, jetstream.StreamConfig{
			Description: "notifications, what happened to stickers, what is to be delivered again, and messages to inputs",
			Subjects:    b.rooted([]string{routedToken + ".*", "retry.*.*", inputToken + ".*.*", noticeToken + ".*.*.*", stickerToken + ".*.*.*"}),
			Duplicates:  b.config.DuplicateWindow,
		}},
		{&b.shadow, s.Shadow, jetstream.StreamConfig{
			Description: "what shadow rules have decided, of which nobody is told", Subjects: b.rooted([]string{shadowToken + ".*.*.*"}),
			Duplicates: b.config.DuplicateWindow,
		}},
		{&b.deliveries, s.Deliveries, jetstream.StreamConfig{
			Description: "what is to be posted to subscribers, and the last attempts", Subjects: b.rooted([]string{jobToken + ".*.*", attemptToken + ".*"}),
			MaxMsgsPerSubject: attemptsKept,
		}},
		{&b.sent, s.Sent, jetstream.StreamConfig{
			Description: "every attempt of a sink, and how it ended", Subjects: b.rooted([]string{sentToken + ".*.*.*"}),
			MaxMsgsPerSubject: attemptsKept,
		}},
	} {
		if *stream.into, err = b.makeStream(ctx, stream.is, stream.config); err != nil {
			return err
		}
	}
	if err := b.makeBuckets(ctx); err != nil {
		return err
	}
	return b.fixPartitions(ctx)
}

// makeStream makes a stream as its settings say, or makes it so. One that is so
// already is left alone: what another worker changes meanwhile stays.
func (b *Bus) makeStream(ctx context.Context, is Stream, c jetstream.StreamConfig) (jetstream.Stream, error) {
	c.Name, c.MaxBytes, c.MaxAge, c.Replicas = is.Name, is.MaxBytes, is.MaxAge, is.Replicas
	c.Compression = jetstream.S2Compression
	if is.MaxAge > 0 && c.Duplicates > 0 {
		c.Duplicates = min(c.Duplicates, is.MaxAge)
	}
	if is.Discard == DiscardNew {
		c.Discard = jetstream.DiscardNew
	}
	if is.Storage == Memory {
		c.Storage, c.Compression = jetstream.MemoryStorage, jetstream.NoCompression
	}
	old, err := b.js.Stream(ctx, c.Name)
	if err == nil && fits(old.CachedInfo().Config, c) {
		return old, nil
	}
	if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
		old, err = b.js.CreateOrUpdateStream(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", c.Name, err)
	}
	return old, nil
}

// fits says whether a stream has all that is wanted. What is not wanted the
// server has filled in.
func fits(has, want jetstream.StreamConfig) bool {
	h, w := reflect.ValueOf(has), reflect.ValueOf(want)
	for i := range w.NumField() {
		if !w.Field(i).IsZero() && !reflect.DeepEqual(h.Field(i).Interface(), w.Field(i).Interface()) {
			return false
		}
	}
	return has.MaxAge == want.MaxAge && has.Discard == want.Discard && has.Storage == want.Storage && has.Compression == want.Compression
}

// rooted are subjects of this installation.
func (b *Bus) rooted(subjects []string) []string {
	out := make([]string, len(subjects))
	for i, s := range subjects {
		out[i] = b.root + s
	}
	return out
}

// makeFeed makes FEED, or finds it where somebody else has made it.
func (b *Bus) makeFeed(ctx context.Context, is Stream) error {
	old, err := b.js.Stream(ctx, is.Name)
	missing := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return fmt.Errorf("stream %s: %w", is.Name, err)
	}
	has, of := false, 0
	if !missing {
		of, has = b.partitionsOf(old.CachedInfo().Config)
	}
	switch {
	case missing && is.Existing:
		return fmt.Errorf("%w: stream %s is not there, and streams.feed.existing says that it is", ErrConfig, is.Name)
	case !missing && !has && !is.Existing:
		return fmt.Errorf("%w: there is a stream %s that the engine has not made; want another streams.feed.name, or streams.feed.existing to read that one", ErrConfig, is.Name)
	case has && of != b.config.Partitions:
		return fmt.Errorf("%w: stream %s has %d partitions and the configuration says %d; their number is fixed when the stream is made", ErrConfig, is.Name, of, b.config.Partitions)
	}
	if is.Existing {
		b.feed, b.partitioned = old, has
		return b.adopt(ctx)
	}
	c := jetstream.StreamConfig{
		Description:      "samples and control messages in the order in which they are judged",
		Subjects:         append([]string{b.door.pattern()}, b.rooted(feedSubjects)...),
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: b.door.pattern(), Destination: b.door.partitioned(b.root, b.config.Partitions)},
		Duplicates:       b.config.DuplicateWindow, AllowDirect: true, AllowBatchPublish: true,
	}
	if !missing {
		c.Sources = old.CachedInfo().Config.Sources
	}
	b.feed, err = b.makeStream(ctx, is, c)
	b.partitioned = true
	return err
}

// feedSubjects are the subjects of FEED that only the engine writes to.
var feedSubjects = []string{"feed.*.*.*", "feed.*._tick", "feed.*._ctl", "feed.*._batch"}

// partitionsOf reads the number of partitions back from a stream's transform.
func (b *Bus) partitionsOf(c jetstream.StreamConfig) (n int, ok bool) {
	if c.SubjectTransform != nil {
		fmt.Sscanf(c.SubjectTransform.Destination, b.root+"feed.{{partition(%d,", &n) //nolint:errcheck // 0 = none
	}
	return n, n > 0
}

// adopt adds to a stream that somebody else has made the subjects that the
// engine needs, and nothing else.
func (b *Bus) adopt(ctx context.Context) error {
	c := b.feed.CachedInfo().Config
	wrong := func(what string) error {
		return fmt.Errorf("%w: streams.feed.existing: stream %s %s", ErrConfig, c.Name, what)
	}
	switch {
	case c.Retention != jetstream.LimitsPolicy:
		return wrong("forgets what was read; want one that keeps it, retention limits")
	case c.Mirror != nil:
		return wrong("is a mirror, which takes no messages of its own; want one that sources the other")
	case c.MaxMsgsPerSubject > 0:
		return wrong("keeps only some messages a subject, which would drop what changes the rules; want no limit there")
	case c.Sealed:
		return wrong("is sealed")
	case !b.partitioned && len(c.Sources) == 0 && !takes(c.Subjects, b.door.pattern()):
		return wrong(fmt.Sprintf("has no subject that fits feedSubject %q; it has %q", b.config.FeedSubject, c.Subjects))
	}
	subjects := c.Subjects
	for _, s := range b.rooted(feedSubjects) {
		if !covered(c.Subjects, s) {
			subjects = append(subjects, s)
		}
	}
	if len(subjects) == len(c.Subjects) {
		return nil
	}
	return b.amend(ctx, "subjects", subjects)
}

// takes says whether a message could fit both the pattern and one of the subjects.
func takes(subjects []string, pattern string) bool {
	for _, s := range subjects {
		if server.SubjectsCollide(s, pattern) {
			return true
		}
	}
	return false
}

// covered says whether one of the subjects takes all that the pattern does.
func covered(subjects []string, pattern string) bool {
	for _, s := range subjects {
		if server.SubjectMatchesFilter(pattern, s) {
			return true
		}
	}
	return false
}

// amend changes one member of FEED's configuration and leaves all others as
// they are, also those that this client does not know.
func (b *Bus) amend(ctx context.Context, member string, value any) error {
	name := b.config.Streams.Feed.Name
	var info struct {
		Config map[string]json.RawMessage `json:"config"`
		Error  *jetstream.APIError        `json:"error"`
	}
	err := b.request(ctx, "STREAM.INFO."+name, struct{}{}, &info)
	if err == nil && info.Error != nil {
		err = info.Error
	}
	if err == nil {
		if info.Config[member], err = json.Marshal(value); err == nil {
			info.Error = nil
			err = b.request(ctx, "STREAM.UPDATE."+name, info.Config, &info)
		}
	}
	if err == nil && info.Error != nil {
		err = info.Error
	}
	if err == nil {
		_, err = b.feed.Info(ctx) // it remembers the configuration
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	return nil
}

// fixPartitions writes the number of partitions down where the stream does not say it.
func (b *Bus) fixPartitions(ctx context.Context) error {
	if b.partitioned {
		return nil
	}
	const key = "partitions"
	want := strconv.Itoa(b.config.Partitions)
	_, err := b.snaps.Create(ctx, key, []byte(want))
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("bucket %s: %w", b.snaps.Bucket(), err)
	}
	e, err := b.snaps.Get(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("bucket %s: %w", b.snaps.Bucket(), err)
	case string(e.Value()) != want:
		return fmt.Errorf("%w: stream %s has %s partitions and the configuration says %s; their number is fixed at the first start", ErrConfig, b.config.Streams.Feed.Name, e.Value(), want)
	}
	return nil
}

// chainedSubject is that of outputs that FEED has taken from OUT.
const chainedSubject = "feed.*._out.*.*"

// chained says whether FEED takes outputs, as far as it was asked last.
func (b *Bus) chained() bool {
	return slices.ContainsFunc(b.feed.CachedInfo().Config.Sources, b.isOut)
}

func (b *Bus) isOut(s *jetstream.StreamSource) bool { return s.Name == b.config.Streams.Out.Name }

// Chain makes the outputs of output twins samples again, so that interactions
// can follow each other: FEED then takes every output from OUT, from now on.
func (b *Bus) Chain(ctx context.Context, on bool) error {
	info, err := b.feed.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", feedStream, err)
	}
	if on == b.chained() {
		return nil
	}
	sources := slices.DeleteFunc(info.Config.Sources, b.isOut)
	if on {
		out, err := b.out.Info(ctx)
		if err != nil {
			return fmt.Errorf("stream %s: %w", outStream, err)
		}
		// What is there already counts as copied.
		last := out.State.LastSeq
		if err := b.keepMark(ctx, copiedKey(info.Config.Name), Mark{Seq: last, Count: 1}); err != nil {
			return err
		}
		sources = append(sources, &jetstream.StreamSource{
			Name: out.Config.Name, OptStartSeq: last + 1,
			SubjectTransforms: []jetstream.SubjectTransformConfig{{
				Source: b.root + "out.*.*.*.*", Destination: b.root + fmt.Sprintf("feed.{{partition(%d,4)}}._out.{{wildcard(4)}}.{{wildcard(3)}}", b.config.Partitions),
			}},
		})
	}
	return b.amend(ctx, "sources", sources)
}
