//! Generates the crate's messages and stubs: `generate DESCRIPTOR_SET OUTPUT_FOLDER`.

use std::env;
use std::error::Error;
use std::fs;

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(descriptor_set), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: generate DESCRIPTOR_SET OUTPUT_FOLDER".into());
    };
    let files = FileDescriptorSet::decode(fs::read(descriptor_set)?.as_slice())?;
    fs::create_dir_all(&output)?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .out_dir(output)
        .compile_fds(files)?;
    Ok(())
}
