//! Clips, as far as they are read here and not by ffmpeg, which is a process of its own.

use crate::data::folder;
use sdas_data::ending;
use std::fs;
use std::io::Cursor;
use std::process::Command;

/// Each container once, and twice those that can be written in two ways; the options are of ffmpeg's.
const CONTAINERS: [(&str, &str); 12] = [
    ("avi", "-c:v mpeg4 -c:a pcm_s16le"),
    ("mp4", "-c:v mpeg4 -c:a aac"),
    ("mp4", "-c:v mpeg4 -an -g 2 -movflags frag_keyframe+empty_moov"),
    ("mkv", "-c:v mpeg4 -c:a pcm_s16le"),
    ("mkv", "-c:v mpeg4 -an -live 1"),
    ("ogv", "-c:v libtheora -c:a libvorbis"),
    ("gif", "-an"),
    ("flv", "-c:v flv1 -c:a mp3"),
    ("wmv", "-c:v wmv2 -c:a wmav2"),
    ("mpg", "-c:v mpeg1video -c:a mp2"),
    ("ts", "-c:v mpeg2video -c:a mp2"),
    ("mts", "-c:v mpeg2video -an -f mpegts -mpegts_m2ts_mode 1"),
];

pub(crate) fn container_seeds() -> Vec<Vec<u8>> {
    const SAMPLES: &str = "-nostdin -v error -y -f lavfi -i testsrc=size=16x16:rate=25:duration=0.2 \
                           -f lavfi -i sine=duration=0.2:sample_rate=44100";
    let folder = folder();
    let make = |(ending, options): &(&str, &str)| {
        let path = folder.path().join(format!("x.{ending}"));
        let arguments = SAMPLES.split_whitespace().chain(options.split_whitespace());
        assert!(Command::new("ffmpeg").args(arguments).arg(&path).status().expect("ffmpeg is there").success());
        fs::read(path).expect("it was made")
    };
    CONTAINERS.iter().map(make).collect()
}

pub(crate) fn container(bytes: &[u8]) {
    ending(Cursor::new(bytes)).expect("memory can be read");
}
