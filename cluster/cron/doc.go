// Package cron says when a schedule fires: a five-field expression or an
// interval, in a time zone. The library gronx finds the next matching wall-clock
// time; what a wall clock that jumps means for it is decided here.
//
// # Daylight saving
//
// A rule whose hour field names hours is about the wall clock:
//
//   - a time in a gap (02:30 on the day when 02:00 becomes 03:00) runs once, at
//     the first instant after the gap; several such times run once together;
//   - a time that comes twice (02:30 on the day when 03:00 becomes 02:00) runs
//     once, the first time.
//
// A rule whose hour field is every hour is about passing time: it runs through
// both passes of the repeated hour, and a gap takes nothing from it.
//
// Time zones come from the tz database: the machine's, or the one embedded in
// the binary. Only the leader evaluates rules, and the table keeps what it
// found, so masters whose databases differ do not disagree.
package cron

import _ "time/tzdata" // zones exist on machines that have none
