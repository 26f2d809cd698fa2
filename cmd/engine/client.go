package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// urlVariable names the engine to talk to, when --url does not.
const urlVariable = "TOCSIN_URL"

const defaultURL = "http://127.0.0.1:8080"

// client talks to a running engine.
type client struct{ url, tokenFile string }

// addURL adds the flag that says which engine.
func (c *client) addURL(cmd *cobra.Command) {
	base := os.Getenv(urlVariable)
	if base == "" {
		base = defaultURL
	}
	cmd.PersistentFlags().StringVar(&c.url, "url", base, "of the running engine; "+urlVariable+" sets it too")
	cmd.PersistentFlags().StringVar(&c.tokenFile, "token-file", "", "with an API key or a token for the engine; default what "+tokenVariable+" says, or none")
}

// refusal is what the engine answers when it does not do what it is asked.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

// ask sends a request and decodes the answer into into, where that is not nil.
// The error has its exit code.
func (c *client) ask(ctx context.Context, method, path string, body, into any) error {
	return exitOf(c.request(ctx, method, path, body, into))
}

// exitOf gives the error of a request its exit code.
func exitOf(err error) error {
	if _, ok := errors.AsType[exit](err); ok {
		return err
	}
	if r, ok := errors.AsType[refusal](err); ok && r.status == http.StatusBadRequest {
		return exit{exitWrong, err}
	}
	if err != nil {
		return exit{exitNo, err}
	}
	return nil
}

func (c *client) request(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := c.begin(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // it is read
	answer, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("engine at %s: %w", c.url, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("engine at %s: %w", c.url, err)
	}
	return nil
}

// begin sends a request and gives the answer while it comes.
func (c *client) begin(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	base, err := url.Parse(c.url)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, wrongUse("--url: got %q; want a URL such as %s", c.url, defaultURL)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.url, "/")+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	if err := c.show(req); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no engine at %s: %w", c.url, err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return resp.Body, nil
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("engine at %s: %w", c.url, err)
	}
	err = refused(resp.StatusCode, answer)
	if resp.StatusCode == http.StatusUnauthorized && req.Header.Get("Authorization") == "" {
		err = fmt.Errorf("%w: set %s, or use --token-file", err, tokenVariable)
	}
	return nil, err
}

// show puts the token into a request, where there is one.
func (c *client) show(req *http.Request) error {
	token := os.Getenv(tokenVariable)
	if c.tokenFile != "" {
		text, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return wrongUse("--token-file: %w", err)
		}
		if token, err = readToken(text); err != nil {
			return wrongUse("--token-file: %s: %w", c.tokenFile, err)
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	}
	return nil
}

func refused(status int, answer []byte) error {
	var said struct{ Error, Pending, Description, Message string }
	if json.Unmarshal(answer, &said) != nil || said.Error+said.Pending+said.Description+said.Message == "" {
		said.Error = fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	return refusal{status, said.Error + said.Pending + said.Description + said.Message}
}
