#!/bin/sh
# interface.sh FILE NAME: the text of FILE as the C string NAME. As numbers, for a string literal
# may have no more than 4,095 characters.
printf 'extern const char %s[];\nconst char %s[] = {\n' "$2" "$2"
od -An -v -tu1 "$1" | sed -e 's/\([0-9]\) /\1, /g' -e 's/$/,/'
printf '0};\n'
