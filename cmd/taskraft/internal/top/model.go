package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
)

// every is how often the cluster is looked at; a look that took longer than a quarter
// of it makes the next one wait four times as long as it took.
const every = time.Second

type page int

const (
	overviewPage page = iota
	queuesPage
	workersPage
	tasksPage
	mastersPage
	pages
)

var pageNames = [pages]string{"overview", "queues", "workers", "tasks", "masters"}

// Model is everything that is drawn, and what keys change.
type Model struct {
	read Reader
	ctx  context.Context
	now  func() time.Time

	width, height int
	page          page
	sort          [pages]int  // which of the page's orders
	reverse       [pages]bool // against that order's own direction
	offset        [pages]int  // rows scrolled away
	paused, help  bool
	reading       bool
	ticks         int // of which the newest leads to a refresh

	history history
	look    *Look // shown; nil before the first
	fault   error // of the last refresh
}

// New returns the model of a cluster that read reads.
func New(ctx context.Context, read Reader) *Model {
	return &Model{read: read, ctx: ctx, now: time.Now, width: 80, height: 24}
}

// looked is a refresh that is over.
type looked struct {
	look *Look
	err  error
	took time.Duration
}

// refresh is a tick, by its number.
type refresh struct{ tick int }

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return m.refresh() }

// refresh reads in the background.
func (m *Model) refresh() tea.Cmd {
	m.reading = true
	tasks := m.page == tasksPage
	return func() tea.Msg {
		began := time.Now()
		l, err := m.read(m.ctx, tasks)
		return looked{l, err, time.Since(began)}
	}
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case looked:
		m.reading = false
		m.took(msg)
		m.ticks++
		next := refresh{m.ticks}
		return m, tea.Tick(max(every-msg.took, 4*msg.took), func(time.Time) tea.Msg { return next })
	case refresh:
		if m.reading || msg.tick != m.ticks { // a key asked for one meanwhile, whose tick counts
			return m, nil
		}
		return m, m.refresh()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	m.offset[m.page] = max(min(m.offset[m.page], m.rows()-1), 0)
	return m, nil
}

// took takes the result of a refresh. What could not be read keeps its last value.
func (m *Model) took(r looked) {
	if m.fault = r.err; r.err != nil && m.look != nil {
		old := m.history.last
		r.look.Queues, r.look.Workers = old.Queues, old.Workers
	}
	m.history.add(r.look)
	if !m.paused || m.look == nil {
		m.look = r.look
	}
}

// key does what a key says.
func (m *Model) key(k string) tea.Cmd {
	body := max(m.height-headerLines-footerLines-2, 1)
	switch k {
	case "q", "ctrl+c":
		return tea.Quit
	case "esc":
		if !m.help {
			return tea.Quit
		}
		m.help = false
	case "?", "h":
		m.help = !m.help
	case "p", "space":
		if m.paused = !m.paused; !m.paused && m.history.last != nil {
			m.look = m.history.last
		}
	case "1", "2", "3", "4", "5":
		return m.turn(page(k[0] - '1'))
	case "tab", "right":
		return m.turn((m.page + 1) % pages)
	case "shift+tab", "left":
		return m.turn((m.page + pages - 1) % pages)
	case "s":
		if n := len(orders[m.page]); n > 0 {
			m.sort[m.page] = (m.sort[m.page] + 1) % n
		}
	case "r":
		m.reverse[m.page] = !m.reverse[m.page]
	case "down", "j":
		m.scroll(1)
	case "up", "k":
		m.scroll(-1)
	case "pgdown":
		m.scroll(body)
	case "pgup":
		m.scroll(-body)
	case "home", "g":
		m.offset[m.page] = 0
	case "end", "G":
		m.scroll(m.rows())
	}
	return nil
}

// turn shows another page, and reads at once what only that one needs.
func (m *Model) turn(p page) tea.Cmd {
	m.page, m.help = p, false
	if p == tasksPage && !m.reading && !m.paused {
		return m.refresh()
	}
	return nil
}

func (m *Model) scroll(by int) {
	m.offset[m.page] = max(min(m.offset[m.page]+by, m.rows()-1), 0)
}

// rows is how many rows the page's list has.
func (m *Model) rows() int {
	if m.look == nil {
		return 0
	}
	switch m.page {
	case workersPage:
		return len(m.look.Workers)
	case tasksPage:
		return len(m.look.Tasks)
	case mastersPage:
		return len(m.look.Masters)
	}
	return len(m.look.Queues)
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	v.WindowTitle = "taskraft top"
	return v
}
