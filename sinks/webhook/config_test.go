package webhook

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
)

func configure(config string) (*sink, error) {
	raw, err := strictjson.Parse("c", []byte(config))
	if err != nil {
		return nil, err
	}
	s, err := New(raw, rules.Alert, rules.Notification)
	if err != nil {
		return nil, err
	}
	return s.(*sink), nil
}

func TestDefaults(t *testing.T) {
	s, err := configure(`{"url":"https://h/x"}`)
	require.NoError(t, err)
	assert.Equal(t, 15*time.Second, s.Timeout)
	assert.Equal(t, "outcome", s.Format)
	assert.Nil(t, s.key)
}

func TestConfigErrors(t *testing.T) {
	of := func(n int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", n)))
	}
	for name, tt := range map[string]struct{ config, want string }{
		"nothing":           {`{}`, `c:1:1: field "url" is missing`},
		"typo":              {`{"ulr":"http://h"}`, "c:1:1: field \"url\" is missing\nc:1:2: /ulr: unknown field \"ulr\"; did you mean \"url\"?"},
		"no URL":            {`{"url":"s3cret"}`, `c:1:8: /url: not an absolute URL; want http://host/path or https://host/path`},
		"other scheme":      {`{"url":"ftp://h/s3cret"}`, `c:1:8: /url: not an absolute URL; want http://host/path or https://host/path`},
		"no host":           {`{"url":"http:///s3cret"}`, `c:1:8: /url: not an absolute URL; want http://host/path or https://host/path`},
		"unreadable":        {`{"url":"http://h/%zz-s3cret"}`, `c:1:8: /url: not an absolute URL; want http://host/path or https://host/path`},
		"user":              {`{"url":"http://u:s3cret@h/"}`, `c:1:8: /url: a user in the URL; want an Authorization header in headers`},
		"URL of a number":   {`{"url":5}`, `c:1:8: /url: got a number; want a string`},
		"secret's start":    {`{"url":"http://h","secret":"s3cret"}`, `c:1:28: /secret: a secret that does not begin with whsec_; want whsec_ and the base64 of 24 to 64 bytes`},
		"secret's base64":   {`{"url":"http://h","secret":"whsec_s3cret!"}`, `c:1:28: /secret: a secret that is not base64 behind whsec_; want the base64 of 24 to 64 bytes`},
		"short secret":      {`{"url":"http://h","secret":"` + of(23) + `"}`, `c:1:28: /secret: a secret of 23 bytes; want 24 to 64`},
		"long secret":       {`{"url":"http://h","secret":"` + of(65) + `"}`, `c:1:28: /secret: a secret of 65 bytes; want 24 to 64`},
		"empty secret":      {`{"url":"http://h","secret":""}`, `c:1:28: /secret: a secret that does not begin with whsec_; want whsec_ and the base64 of 24 to 64 bytes`},
		"secret a number":   {`{"url":"http://h","secret":12345}`, `c:1:28: /secret: got a number; want a string`},
		"two secrets":       {`{"url":"http://h","secret":"` + of(24) + `","secretFile":"f"}`, `c:1:82: /secretFile: secret and secretFile; want one of them`},
		"no such file":      {`{"url":"http://h","secretFile":"no such file"}`, `c:1:32: /secretFile: open no such file: no such file or directory`},
		"empty file name":   {`{"url":"http://h","secretFile":""}`, `c:1:32: /secretFile: open : no such file or directory`},
		"headers":           {`{"url":"http://h","headers":"Authorization: s3cret"}`, `c:1:29: /headers: got a string; want an object`},
		"header's name":     {`{"url":"http://h","headers":{"a b":"s3cret"}}`, `c:1:30: /headers/a b: "a b" is not the name of a header`},
		"header's value":    {`{"url":"http://h","headers":{"a":"s3cret\n"}}`, `c:1:34: /headers/a: a control character in the value of header A; want none`},
		"header's type":     {`{"url":"http://h","headers":{"a":12345}}`, `c:1:34: /headers/a: got a number; want a string`},
		"our header":        {`{"url":"http://h","headers":{"Webhook-ID":"x"}}`, `c:1:30: /headers/Webhook-ID: header Webhook-Id is written here; want others`},
		"header twice":      {`{"url":"http://h","headers":{"a":"x","A":"y"}}`, `c:1:38: /headers/A: duplicate header A; want each name once`},
		"timeout":           {`{"url":"http://h","timeout":"0s"}`, `c:1:29: /timeout: got 0s; want more than nothing`},
		"timeout's unit":    {`{"url":"http://h","timeout":15}`, `c:1:29: /timeout: got 15; want a duration with its unit, such as "90s" or "15m"`},
		"format":            {`{"url":"http://h","format":"xml"}`, `c:1:28: /format: no format "xml"; want one of alertmanager, cloudevents, outcome, pagerduty, slack, standard, teams, template, trustedtwin`},
		"mode's format":     {`{"url":"http://h","mode":"binary"}`, `c:1:19: /mode: mode in format outcome; want it with cloudevents only`},
		"mode":              {`{"url":"http://h","format":"cloudevents","mode":"binry"}`, `c:1:49: /mode: no mode "binry"; did you mean "binary"?`},
		"source":            {`{"url":"http://h","format":"cloudevents","source":""}`, `c:1:51: /source: got ""; want a URI reference such as /tocsin/brno`},
		"no body":           {`{"url":"http://h","format":"template"}`, `c:1:1: field "body" is missing`},
		"body's field":      {`{"url":"http://h","format":"template","body":"{\"text\":{{json .summry}}}"}`, `c:1:64: /body: template: no field "summry"; did you mean "summary"?`},
		"body no JSON":      {`{"url":"http://h","format":"template","body":"{\"text\":{{.summary}}}"}`, `c:1:46: /body: template, for an alert that fires: "{\"text\":machine_1 is at 31.2}" is not JSON; want texts in it as {{json .summary}}`},
		"content type":      {`{"url":"http://h","format":"template","body":"x","contentType":"jason"}`, `c:1:64: /contentType: got "jason"; want a media type such as application/json`},
		"link":              {`{"url":"http://h","format":"slack","link":"alerts/{{.id}}"}`, `c:1:43: /link: template, for an alert that fires: got "alerts/al_55n8fqhnwb2bt0rfhw83whrv71"; want an absolute URL, or nothing`},
		"no routing key":    {`{"format":"pagerduty"}`, "c:1:1: field \"routingKey\" is missing"},
		"routing key":       {`{"format":"pagerduty","routingKey":"s3cret","routingKeyFile":"f"}`, `c:1:62: /routingKeyFile: routingKey and routingKeyFile; want one of them`},
		"allow":             {`{"url":"http://h","allow":["10.0.0.0/8"]}`, `c:1:27: /allow: allow without a guard; want "guard":true beside it`},
		"allowed":           {`{"url":"http://h","guard":true,"allow":["10.0.0.0/8","x"]}`, `c:1:54: /allow/1: got "x"; want such as "10.20.0.0/16", "127.0.0.1:9000" or "hooks.local:8443"`},
		"several at a time": {`{"url":"x","format":"xml","timeout":"0s"}`, "c:1:8: /url: not an absolute URL; want http://host/path or https://host/path\nc:1:21: /format: no format \"xml\"; want one of alertmanager, cloudevents, outcome, pagerduty, slack, standard, teams, template, trustedtwin\nc:1:37: /timeout: got 0s; want more than nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configure(tt.config)
			require.EqualError(t, err, tt.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestSecretFile(t *testing.T) {
	dir, credentials := t.TempDir(), t.TempDir()
	write := func(dir, text string) string {
		path := filepath.Join(dir, "hook.secret")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	inDir := write(dir, secretText+"\n")
	other := strings.Repeat("o", 24)
	write(credentials, "whsec_"+base64.StdEncoding.EncodeToString([]byte(other)))
	for name, tt := range map[string]struct{ credentials, file, want string }{
		"absolute":                 {credentials, inDir, secretBytes},
		"relative":                 {"", "hook.secret", secretBytes},
		"among the credentials":    {credentials, "hook.secret", other},
		"not among them":           {t.TempDir(), "hook.secret", secretBytes},
		"credentials that are not": {filepath.Join(dir, "nowhere"), "hook.secret", secretBytes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			t.Setenv("CREDENTIALS_DIRECTORY", tt.credentials)
			s, err := configure(fmt.Sprintf(`{"url":"http://h","secretFile":%q}`, tt.file))
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(s.key))
		})
	}
	write(dir, "s3cret")
	_, err := configure(fmt.Sprintf(`{"url":"http://h","secretFile":%q}`, inDir))
	require.EqualError(t, err, `c:1:32: /secretFile: a secret that does not begin with whsec_; want whsec_ and the base64 of 24 to 64 bytes`)
}

func TestOnlyAlerts(t *testing.T) {
	raw, err := strictjson.Parse("c", []byte(`{"format":"pagerduty","routingKey":"k"}`))
	require.NoError(t, err)
	for _, kinds := range [][]rules.Kind{nil, {rules.Output}} {
		_, err = New(raw, kinds...)
		require.EqualError(t, err, `c:1:11: /format: format pagerduty of a sink that gets more than alerts; want "outcome":"alert" beside its name`)
	}
	s, err := New(raw, rules.Alert)
	require.NoError(t, err)
	assert.Equal(t, "events.pagerduty.com", s.(*sink).host)
}
