#!/bin/sh
# Makes the lines that callapp speaks itself when the model is not there: 8 kHz mu-law, headerless.
# Needs espeak-ng and sox. Usage: callapp/call/lines/make.sh
set -eu
cd "$(dirname "$0")"

line() { # file, voice, text
    espeak-ng -v "$2" -s 150 -p 45 --stdout "$3" |
        sox -t wav - -r 8000 -c 1 -t raw -e mu-law -b 8 "$1" norm -9 gain -n -6 pad 0.1 0.1
}

line hold.ja.ulaw ja "しょうしょう、おまちください。"
line hold.en.ulaw en-us "One moment, please."
