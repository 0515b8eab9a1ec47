#!/bin/sh
# Prints the program in the first comment of a header: its lines that are indented by a tab.
sed -n '1,/^ \*\//s/^ \*	//p; /^ \*\//q' "$1"
