package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// The status page is one document: the style and the script are inlined, so that the browser fetches nothing else.
var (
	//go:embed page/page.html
	pageHTML []byte
	//go:embed page/page.css
	pageCSS []byte
	//go:embed page/format.js
	formatJS []byte
	//go:embed page/charts.js
	chartsJS []byte
	//go:embed page/page.js
	pageJS []byte
)

// page is the document and its Content-Security-Policy, which permits only its own style and script.
var page = sync.OnceValues(func() (document []byte, policy string) {
	document = bytes.Replace(pageHTML, []byte("/*css*/"), pageCSS, 1)
	script := slices.Concat([]byte("'use strict';\n(() => {\n"), formatJS, chartsJS, pageJS, []byte("})();\n"))
	document = bytes.Replace(document, []byte("/*js*/"), script, 1)
	hash := func(text []byte) string {
		sum := sha256.Sum256(text)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return document, fmt.Sprintf("default-src 'none'; connect-src 'self'; img-src data:; style-src %s; script-src %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		hash(pageCSS), hash(script))
})

func servePage(w http.ResponseWriter, _ *http.Request) {
	document, policy := page()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	// An error means that the client has gone.
	_, _ = w.Write(document)
}
