#!/bin/bash
# Makes internal/clip/media: the demonstration clip, drawn by this program and encoded
# with ffmpeg (Debian: apt-get install ffmpeg). The results are committed; this is
# for changing them. A key frame begins every 2 seconds, which divide the loop.
set -euo pipefail
cd "$(dirname "$0")/.."
out=../internal/clip/media
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

go build -o "$work/clip" ./clip
"$work/clip" -write video >"$work/video.rgb"
# Half a second of the loop's end goes first, and is skipped when playing: the
# encoder's state then fits at the seam.
"$work/clip" -write audio -warmup 0.5 >"$work/audio.pcm"

raw=(-v error -y -f rawvideo -pix_fmt rgb24 -s 640x360 -r 30 -i "$work/video.rgb" -pix_fmt yuv420p)
# Constrained baseline, one slice and one reference: what every browser decodes.
ffmpeg "${raw[@]}" -c:v libx264 -profile:v baseline -level 3.0 -preset veryslow -refs 1 \
	-b:v 300k -maxrate 450k -bufsize 450k -g 60 -keyint_min 60 -sc_threshold 0 \
	-x264-params bframes=0:threads=1:sliced-threads=0:repeat-headers=1 -bsf:v filter_units=remove_types=6 \
	-fflags +bitexact -flags +bitexact -f h264 "$out/clip.h264"
ffmpeg "${raw[@]}" -c:v libvpx -quality good -cpu-used 0 -b:v 300k -maxrate 450k -bufsize 450k -g 60 -keyint_min 60 \
	-auto-alt-ref 0 -lag-in-frames 0 -error-resilient 1 -threads 1 \
	-fflags +bitexact -flags +bitexact -f ivf "$out/clip.ivf"
ffmpeg -v error -y -f s16le -ar 48000 -ac 2 -i "$work/audio.pcm" -c:a libopus -b:a 48k -vbr on -frame_duration 20 \
	-application audio -fflags +bitexact -flags +bitexact -f ogg "$out/clip.ogg"
ls -l "$out"
