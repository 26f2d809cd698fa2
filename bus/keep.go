package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tocsin.internal/rules"
)

// Keep says what the server keeps for a subscriber.
type Keep struct {
	Owner, Name string // Name "": the place is gone with the subscriber
	Topic       string // what it is a place in: under one name there is one
	Parts       []KeepPart
}

// KeepPart is what is asked for of a tail: what fits one of the subjects of
// Subject, or all of it.
type KeepPart struct {
	Tail     Tail
	Subjects []string
}

// SampleSubjects are the subjects at which samples of feeds come that fit two
// tokens, which may be *; none where only their bodies tell.
func (b *Bus) SampleSubjects(twin, feed string) []string {
	if !b.partitioned {
		return nil
	}
	p := "*"
	if twin != "*" {
		p = strconv.Itoa(partition(twin, b.config.Partitions))
	}
	return []string{b.root + "feed." + p + "." + twin + "." + feed, b.root + "feed." + p + "._batch"}
}

// TailSubject is the subject of what fits a pattern of a tail other than
// SampleTail: tokens, of which the last may be >.
func (b *Bus) TailSubject(t Tail, pattern []string) string {
	first, rest := t.tokens(), pattern
	if len(rest) == 0 {
		rest = []string{">"}
	}
	switch {
	case (t == StickerTail || t == NoticeTail) && rest[len(rest)-1] != ">": // <twin>.<colour> or <topic>, and an id
		rest = append(slices.Clip(rest), "*")
	case t == OutputTail: // <twin>.<feed>
		twin, feed := rest[0], "*"
		if len(rest) > 1 && rest[1] != ">" {
			feed = rest[1]
		}
		if twin == ">" {
			twin = "*"
		}
		rest = []string{"*", feed, twin}
	}
	return b.root + strings.Join(append(first, rest...), ".")
}

// tokens are those that the subjects of a tail begin with.
func (t Tail) tokens() []string {
	switch t {
	case OutputTail:
		return []string{strings.TrimSuffix(kindTokens[rules.Output], "."), "*"}
	case AlertTail:
		return []string{strings.TrimSuffix(kindTokens[rules.Alert], "."), "*"}
	case StickerTail:
		return []string{stickerToken}
	case NotificationTail:
		return []string{routedToken}
	case NoticeTail:
		return []string{noticeToken, "*"}
	}
	return []string{inputToken}
}

// The errors of Keep.
var (
	// ErrOtherTopic says that the name is that of a place in another topic.
	ErrOtherTopic = errors.New("the name is that of a place in another topic")
	// ErrPlaceGone says that the server keeps the place no longer: nobody has come
	// for it for too long, or somebody has removed it.
	ErrPlaceGone = errors.New("the place is not kept any more")
	// ErrKeptClosed says that the subscriber has closed it.
	ErrKeptClosed = errors.New("the subscription is closed")
)

const (
	keepPrefix = "sub_"
	// keepWait is after how long the server gives a message again that was not
	// acknowledged, and keepTries how often it does.
	keepWait  = 30 * time.Second
	keepTries = 20
	// keepNamed is how long a place is kept for which nobody comes, keepUnnamed
	// that of a subscriber without a name that is gone without a word.
	keepNamed, keepUnnamed = 7 * 24 * time.Hour, time.Hour

	keepExpires, keepHeartbeat, keepPatience = 30 * time.Second, 5 * time.Second, 12 * time.Second
)

const (
	metaOwner = "tocsin.owner"
	metaName  = "tocsin.name"
	metaTopic = "tocsin.topic"
)

// keepName is the name of the consumers of a place: nobody else's place has it.
func keepName(owner, name string) string {
	digest := sha256.Sum256([]byte(strconv.Itoa(len(owner)) + ":" + owner + name))
	return keepPrefix + hex.EncodeToString(digest[:16])
}

// Kept is what waits for a subscriber. One goroutine may call Next; the others'
// methods are safe for concurrent use.
type Kept struct {
	bus    *Bus
	places []*keptPlace
	bySub  map[*nats.Subscription]*keptPlace
	come   chan *nats.Msg
	back   chan nats.Status
	named  bool
	closed chan struct{}
	close  sync.Once

	mu   sync.Mutex
	open map[string]bool // replies of what was given and is not dealt with
}

// keptPlace is a consumer of one stream.
type keptPlace struct {
	tail     Tail
	consumer jetstream.Consumer
	stream   string
	sub      *nats.Subscription
	asked    bool      // a request stands
	due      time.Time // of which nothing was heard, then
}

// KeptMessage is a message that waits for its acknowledgement.
type KeptMessage struct {
	TailMessage
	Attempt int // from 1
	reply   string
}

// Last says that the server gives the message no more, whatever becomes of it.
func (m *KeptMessage) Last() bool { return m.Attempt >= keepTries }

// Keep takes up a subscriber's place; one that is new begins now. The error may
// wrap ErrOtherTopic.
func (b *Bus) Keep(ctx context.Context, k Keep) (_ *Kept, err error) {
	kept := &Kept{
		bus: b, bySub: map[*nats.Subscription]*keptPlace{}, come: make(chan *nats.Msg, 64), back: b.nc.StatusChanged(nats.CONNECTED),
		named: k.Name != "", closed: make(chan struct{}), open: map[string]bool{},
	}
	defer func() {
		if err != nil {
			kept.Close()
		}
	}()
	for _, part := range k.Parts {
		s := b.keptStream(part.Tail)
		name := s.CachedInfo().Config.Name
		c, err := b.keepConfig(ctx, s, k, part)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		p := &keptPlace{tail: part.Tail, stream: name}
		if p.consumer, err = s.CreateOrUpdateConsumer(ctx, c); err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, away(err))
		}
		kept.places = append(kept.places, p)
		if p.sub, err = b.nc.ChanSubscribe(nats.NewInbox(), kept.come); err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, away(err))
		}
		kept.bySub[p.sub] = p
	}
	return kept, nil
}

// keptStream is where what a subscriber wants of a tail is kept for long.
func (b *Bus) keptStream(t Tail) jetstream.Stream {
	if t == AlertTail {
		return b.history
	}
	s, _ := b.tail(t)
	return s
}

func (b *Bus) keepConfig(ctx context.Context, s jetstream.Stream, k Keep, part KeepPart) (jetstream.ConsumerConfig, error) {
	c := jetstream.ConsumerConfig{
		Description: "subscriber", AckPolicy: jetstream.AckExplicitPolicy, AckWait: keepWait, MaxDeliver: keepTries,
		DeliverPolicy: jetstream.DeliverNewPolicy, FilterSubjects: part.Subjects, InactiveThreshold: keepUnnamed,
		Metadata: map[string]string{metaOwner: k.Owner, metaTopic: k.Topic},
	}
	if k.Name == "" {
		c.Name = keepPrefix + CallID()
		return c, nil
	}
	c.Durable, c.InactiveThreshold = keepName(k.Owner, k.Name), keepNamed
	c.Metadata[metaName] = k.Name
	old, err := s.Consumer(ctx, c.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return c, nil
	case err != nil:
		return c, away(err)
	}
	if was := old.CachedInfo().Config.Metadata[metaTopic]; was != k.Topic {
		return c, fmt.Errorf("%w: %s", ErrOtherTopic, was)
	}
	return old.CachedInfo().Config, nil
}

// Forget gives a place up. It says whether there was one.
func (b *Bus) Forget(ctx context.Context, owner, name string) (found bool, err error) {
	for _, s := range []jetstream.Stream{b.feed, b.out, b.history, b.notify} {
		switch err := s.DeleteConsumer(ctx, keepName(owner, name)); {
		case err == nil:
			found = true
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			return found, fmt.Errorf("stream %s: %w", s.CachedInfo().Config.Name, away(err))
		}
	}
	return found, nil
}

// Next waits for a message. Its error is that of ctx, or wraps ErrPlaceGone or
// ErrKeptClosed.
func (k *Kept) Next(ctx context.Context) (*KeptMessage, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for back := k.back; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		timer.Reset(time.Until(k.ask(time.Now())))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-k.closed:
			return nil, ErrKeptClosed
		case _, ok := <-back:
			if !ok { // nothing is told of the connection any more
				back = nil
			}
			for _, p := range k.places {
				p.asked = false
			}
		case <-timer.C:
		case m := <-k.come:
			got, err := k.take(ctx, m)
			if got != nil || err != nil {
				return got, err
			}
		}
	}
}

// ask asks for one message of each place where no request stands, and gives the
// time when it has to be called again.
func (k *Kept) ask(now time.Time) time.Time {
	next := now.Add(keepPatience)
	for _, p := range k.places {
		if !p.asked || !now.Before(p.due) {
			p.asked, p.due = true, now.Add(keepPatience)
			body := fmt.Appendf(nil, `{"batch":1,"expires":%d,"idle_heartbeat":%d}`, keepExpires, keepHeartbeat)
			subject := "$JS.API.CONSUMER.MSG.NEXT." + p.stream + "." + p.consumer.CachedInfo().Name
			if k.bus.nc.PublishRequest(subject, p.sub.Subject, body) != nil {
				p.due = now.Add(readingRetry)
			}
		}
		if p.due.Before(next) {
			next = p.due
		}
	}
	return next
}

// take gives a message, unless it is one about a request.
func (k *Kept) take(ctx context.Context, m *nats.Msg) (*KeptMessage, error) {
	p := k.bySub[m.Sub]
	now := time.Now()
	if m.Reply == "" {
		return nil, k.hear(ctx, p, m, now)
	}
	d, ok := parseDelivery(m.Reply)
	if !ok {
		return nil, nil
	}
	p.asked = false
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open[m.Reply] = true
	got := &KeptMessage{TailMessage: k.bus.tailMessage(p.tail, m.Subject, m.Header, m.Data, d), Attempt: attempt(m.Reply), reply: m.Reply}
	if seq := sourceSeq(m.Header); p.tail == AlertTail && seq > 0 {
		got.Seq = seq
	}
	return got, nil
}

// hear takes what the server says of a request.
func (k *Kept) hear(ctx context.Context, p *keptPlace, m *nats.Msg, now time.Time) error {
	switch status := m.Header.Get("Status"); status {
	case "100":
		p.due = now.Add(keepPatience)
		return nil
	case "404", "408":
		p.asked = false
		return nil
	default: // it is gone, or somebody else leads, or nobody answers
		p.due = now.Add(readingRetry)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := p.consumer.Info(ctx); errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("stream %s: %w", p.stream, ErrPlaceGone)
	}
	return nil
}

// attempt reads from the reply of a message how often it was given.
func attempt(reply string) int {
	tokens := strings.Split(reply, ".")
	i := 4
	if len(tokens) > 9 {
		i = 6
	}
	if i >= len(tokens) {
		return 1
	}
	n, _ := strconv.Atoi(tokens[i])
	return max(n, 1)
}

// Ack says that a message has been dealt with; nil when the server knows it.
func (k *Kept) Ack(ctx context.Context, m *KeptMessage) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := k.bus.nc.RequestWithContext(ctx, m.reply, []byte(wordDone)); err != nil {
		return fmt.Errorf("acknowledging: %w", away(err))
	}
	k.answered(m)
	return nil
}

// Skip is Ack for what nobody wants: it is not waited until the server knows it.
func (k *Kept) Skip(m *KeptMessage) error {
	k.answered(m)
	return k.say(m.reply, wordDone)
}

// Nak asks for a message again, not before some time.
func (k *Kept) Nak(m *KeptMessage, after time.Duration) error {
	k.answered(m)
	return k.say(m.reply, wordLater(after))
}

// Working says that a message is still being dealt with.
func (k *Kept) Working(m *KeptMessage) error { return k.say(m.reply, wordProgress) }

func (k *Kept) say(reply, what string) error {
	if err := k.bus.nc.Publish(reply, []byte(what)); err != nil {
		return fmt.Errorf("acknowledging: %w", away(err))
	}
	return nil
}

func (k *Kept) answered(m *KeptMessage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, m.reply)
}

// Close gives back what was given and not dealt with, and ends Next. A place
// without a name is gone then.
func (k *Kept) Close() { k.close.Do(k.end) }

func (k *Kept) end() {
	close(k.closed)
	k.bus.nc.RemoveStatusListener(k.back)
	for _, p := range k.places {
		if p.sub != nil {
			p.sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
		}
		if !k.named {
			k.bus.nc.Publish("$JS.API.CONSUMER.DELETE."+p.stream+"."+p.consumer.CachedInfo().Name, nil) //nolint:errcheck // the server drops it by itself
		}
	}
	if !k.named {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.come) > 0 {
		if m := <-k.come; m.Reply != "" {
			k.open[m.Reply] = true
		}
	}
	for reply := range k.open {
		k.say(reply, wordLater(0)) //nolint:errcheck // it comes again after keepWait
	}
}
