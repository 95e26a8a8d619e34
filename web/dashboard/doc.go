// Package dashboard is the web page of a master: what the cluster does, live, and
// the actions of the command line.
//
// Pages are written by the server (pages/*.html, html/template) and readable without
// JavaScript; actions are plain forms. A few ES modules (static/*.js) keep an open
// page true: live.js listens to a stream of server-sent events whose ids are
// INDEX.SUB of the log, and lets the page be read again when the table has changed;
// morph.js changes what differs; charts.js draws. When the master behind the page is
// lost, live.js goes on at another one, at the same index.
//
// Nothing comes from elsewhere: no script, font or image, by a Content-Security-Policy
// with Trusted Types. uPlot (static/uplot.*, from npm, MIT) is the only foreign file.
package dashboard
