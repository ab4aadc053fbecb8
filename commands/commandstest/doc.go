// Package commandstest is for the tests of the commands: a server of all families behind a real door, a client that sees replies as
// they come over the wire, a redis-server to compare with, and the world of the fuzz targets.
package commandstest
