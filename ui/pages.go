package ui

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// The build of ui/web lies in assets/dist, which is not part of the repository: without it the placeholder is served, so that
// the server builds without Node.
//
//go:embed all:assets
var embedded embed.FS

const basePlaceholder = "<head>"

// pages are the files of the build, read and compressed once.
type pages struct {
	placeholder bool
	index       string // with room for the base path behind <head>
	files       map[string]file
}

type file struct {
	kind           string
	plain, zipped  []byte
	namedByContent bool // its name changes with its content
}

// hashedName is a file that the build named by its content, such as assets/index-Dk3f9a_x.js.
var hashedName = regexp.MustCompile(`^/assets/.+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

func loadPages() (*pages, error) { return readPages(embedded) }

func readPages(source fs.FS) (*pages, error) {
	p := &pages{files: map[string]file{}}
	index, err := fs.ReadFile(source, "assets/dist/index.html")
	if errors.Is(err, fs.ErrNotExist) {
		p.placeholder = true
		index, err = fs.ReadFile(source, "assets/placeholder.html")
		if err == nil {
			for _, name := range []string{"placeholder.js", "placeholder.css"} {
				content, err := fs.ReadFile(source, "assets/"+name)
				if err != nil {
					return nil, err
				}
				p.add("/"+name, content)
			}
		}
	} else if err == nil {
		err = p.addBuild(source)
	}
	if err != nil {
		return nil, fmt.Errorf("read the pages of the dashboard: %w", err)
	}
	if p.index = string(index); strings.Count(p.index, basePlaceholder) != 1 {
		return nil, errors.New("read the pages of the dashboard: index.html has no <head>")
	}
	return p, nil
}

func (p *pages) addBuild(source fs.FS) error {
	build, err := fs.Sub(source, "assets/dist")
	if err != nil {
		return err
	}
	return fs.WalkDir(build, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "index.html" {
			return err
		}
		content, err := fs.ReadFile(build, name)
		if err == nil {
			p.add("/"+name, content)
		}
		return err
	})
}

// kinds are the types that matter; the machine's own table may say something else.
var kinds = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8",
	".json": "application/json", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2", ".png": "image/png", ".ico": "image/x-icon",
}

func (p *pages) add(name string, content []byte) {
	f := file{plain: content, namedByContent: hashedName.MatchString(name)}
	if f.kind = kinds[path.Ext(name)]; f.kind == "" {
		if f.kind = mime.TypeByExtension(path.Ext(name)); f.kind == "" {
			f.kind = "application/octet-stream"
		}
	}
	f.zipped = compress(content)
	p.files[name] = f
}

// compress returns nil when it does not pay.
func compress(content []byte) []byte {
	var zipped bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = writer.Write(content)
	_ = writer.Close()
	if zipped.Len() >= len(content)*9/10 {
		return nil
	}
	return zipped.Bytes()
}

// serve answers with a file, or with the index for an address inside the application. A missing asset is missing: answering
// with the index would hide it.
func (p *pages) serve(w http.ResponseWriter, r *http.Request, name, prefix string) {
	if !readsOnly(r) {
		writeProblem(w, problem(http.StatusMethodNotAllowed, "METHOD", "only GET is answered here"))
		return
	}
	if f, found := p.files[name]; found {
		cache := "no-cache"
		if f.namedByContent {
			cache = "public, max-age=31536000, immutable"
		}
		write(w, r, f, cache)
		return
	}
	if name != "/" && (strings.HasPrefix(name, "/assets/") || !strings.Contains(r.Header.Get("Accept"), "text/html")) {
		writeProblem(w, NotFound("NOFILE", "there is no %s", shorten(name)))
		return
	}
	base := basePlaceholder + `<base href="` + html.EscapeString(prefix) + `/">`
	write(w, r, file{kind: kinds[".html"], plain: []byte(strings.Replace(p.index, basePlaceholder, base, 1))}, "no-cache")
}

func write(w http.ResponseWriter, r *http.Request, f file, cache string) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", cache)
	h.Add("Vary", "Accept-Encoding")
	content := f.plain
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = f.zipped
	}
	h.Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content)
	}
}

// prefixRule keeps what a base path may hold far from anything that HTML or a header could read as its own.
var prefixRule = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func checkBasePath(prefix string) error {
	if len(prefix) > 200 || !prefixRule.MatchString(prefix) || path.Clean(prefix) != prefix {
		return fmt.Errorf("base path %q: it must be like /nexo, of letters, digits and . _ ~ -", prefix)
	}
	return nil
}

// prefix is the path that the browser sees in front of ours.
func (s *Server) prefix(r *http.Request) string {
	if s.options.TrustForwardedPrefix {
		forwarded := strings.TrimRight(r.Header.Get("X-Forwarded-Prefix"), "/")
		if forwarded != "" && checkBasePath(forwarded) == nil {
			return forwarded
		}
	}
	return s.options.BasePath
}
