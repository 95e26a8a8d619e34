// Wordcount counts the words of text files with a map and a reduce step: a batch
// of one task per part of the files, and one task that waits for all of them.
//
//	wordcount -masters 127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420 FILE…
//
// Its workers run in this process; they might as well run anywhere else. Masters
// may die meanwhile.
package main
