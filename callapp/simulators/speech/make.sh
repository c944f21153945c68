#!/bin/sh
# How the recordings beside this file were made (espeak-ng 1.51, sox 14.4):
#
#     sh callapp/simulators/speech/make.sh
#
# espeak-ng does not read kanji, so each line has its reading in kana, particles as they sound; the
# words as people read them stand in index.json. Two voices that nobody takes for one another.
# Mu-law, 8 kHz, mono, no header; speech at -18 dBFS, 100 ms of silence (0xFF) around it.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

record() { # name, voice, pitch 0-99, words a minute, reading
    espeak-ng -v "$2" -p "$3" -s "$4" -w "$work/spoken.wav" "$5"
    # The band of a telephone, and no silence but our own.
    sox -D "$work/spoken.wav" "$work/band.wav" rate 8000 highpass 200 \
        silence 1 0.01 0.2% reverse silence 1 0.01 0.2% reverse
    rms=$(sox "$work/band.wav" -n stat 2>&1 | awk '/RMS.*amplitude/ {print $3}')
    gain=$(awk -v rms="$rms" 'BEGIN {print -18 - 20 * log(rms) / log(10)}')
    sox -D "$work/band.wav" -t raw -e mu-law "$1.ulaw" gain -l "$gain" fade 0.005 -0 0.01 pad 0.1 0.1
}

agent() { record "agent-$1" ja+f3 62 210 "$2"; }
caller() { record "caller-$1" ja+m3 30 215 "$2"; }

agent greeting 'もしもし、こんにちわ。'
caller question 'あの、ちゅうもんした しょうひんわ、いつ とどきますか。'
agent preamble 'しょうしょう、おまちください。'
agent answer 'ごちゅうもんの しょうひんわ、あすの ごごに おとどけする よていです。
おうけとりの さいわ、ごしょめいを おねがい いたします。
ごふざいの ときわ、もういちど うかがいます。'
caller correction 'あ、すみません。あさってに へんこう できますか。'
agent change 'はい、あさってに へんこう しました。ほかに ごようけんわ ございますか。'
caller goodbye 'いえ、だいじょうぶです。ありがとう ございました。'
agent goodbye 'おでんわ ありがとう ございました。'

# A booking: the agent `reservation`.
agent table-greeting 'はい、れすとらん、おりーぶで ございます。'
caller table 'あしたの よる しちじに、ふたりで よやくを おねがい します。'
agent table-check 'かくにん いたします。'
agent table-free 'はい、あすの よる しちじ、にめいさまで おとり できます。おなまえを おねがい いたします。'
caller name 'たなかです。'
agent table-booked 'たなかさまで うけたまわりました。よやくばんごうわ、'
agent table-other 'です。ほかに ごようけんわ ございますか。'
digit=0
for reading in ぜろ いち に さん よん ご ろく なな はち きゅう; do
    agent "digit-$digit" "$reading"
    digit=$((digit + 1))
done

# Two people who are interpreted, and what the interpreter makes of each of their lines.
ja() { record "ja-$1" ja+m3 30 215 "$2"; }
en() { record "en-$1" en-us+m2 40 160 "$2"; }
into_ja() { record "into-ja-$1" ja+f3 62 210 "$2"; }
into_en() { record "into-en-$1" en-us+f3 55 165 "$2"; }

ja order 'もしもし、ちゅうもんした ほんわ、いつ とどきますか。'
into_en order 'Hello, when will the book that I ordered arrive?'
en sent 'We sent it today. It will be with you tomorrow afternoon.'
into_ja sent 'ほんじつ おおくり しました。あすの ごごに とどきます。'
ja thanks 'ありがとう ございます。たすかります。'
into_en thanks 'Thank you, that is a great help.'
