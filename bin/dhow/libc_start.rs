//! Spares each process most of the questions that glibc's start code asks the processor.
//!
//! A static program begins with about 70 CPUID instructions, 49 of them only to learn how large the caches are (`handle_intel` and
//! `get_common_cache_info` in sysdeps/x86/dl-cacheinfo.h), which tells memcpy from where on to go past them. In a virtual machine each
//! one is an exit to the hypervisor, of 7 us and more: half a millisecond of every start, where all else of a short command takes two.
//! So the object of that code is taken out of libc.a, and these two functions say what a common server has.
//!
//! Done only where a program that is linked with it says at its start what is expected; else the library's own code is linked. So it is
//! where the builder's processor is not Intel's: others are asked by other functions, which stay as they are in either binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library with the object in it.
const NAME: &str = "dhow_start";

/// Says the sizes of the caches: 32 KiB, 1 MiB, and 2 MiB of the last one for a thread; 0 is more than can be told.
///
/// ```text
/// lea ecx, [rdi - 185]     ; _SC_LEVEL1_ICACHE_SIZE, the first of twelve
/// cmp ecx, 11
/// ja  none
/// lea ecx, [rcx + rcx * 4]
/// mov rax, EXPONENTS       ; 5 bits for each
/// shr rax, cl
/// and eax, 31
/// mov ecx, eax
/// mov eax, 1
/// shl eax, cl
/// ret
/// none: xor eax, eax
/// ret
/// ```
const CODE: [&[u8]; 3] = [
    &[0x8d, 0x8f, 0x47, 0xff, 0xff, 0xff, 0x83, 0xf9, 0x0b, 0x77, 0x1d, 0x8d, 0x0c, 0x89, 0x48, 0xb8],
    &exponents().to_le_bytes(),
    &[0x48, 0xd3, 0xe8, 0x83, 0xe0, 0x1f, 0x89, 0xc1, 0xb8, 1, 0, 0, 0, 0xd3, 0xe0, 0xc3, 0x31, 0xc0, 0xc3],
];

/// Size, ways and line of the caches for code and data, of the second level and of the third, as powers of two.
const CACHES: [u64; 12] = [15, 3, 6, 15, 3, 6, 20, 4, 6, 21, 4, 6];

const fn exponents() -> u64 {
    let (mut all, mut index) = (0, 0);
    while index < CACHES.len() {
        all |= CACHES[index] << (5 * index);
        index += 1;
    }
    all
}

/// `ret`: what the caller gave stays as it is.
const RETURN: u8 = 0xc3;

/// Ends with 0 where the code above was asked.
const CHECK: &str = "#include <unistd.h>\nint main(void) {\n\
    return !(sysconf(_SC_LEVEL1_DCACHE_SIZE) == 1 << 15 && sysconf(_SC_LEVEL1_DCACHE_LINESIZE) == 64\n\
    && sysconf(_SC_LEVEL2_CACHE_SIZE) == 1 << 20 && sysconf(_SC_LEVEL3_CACHE_SIZE) == 1 << 21 && !sysconf(_SC_LEVEL4_CACHE_SIZE));\n}\n";

/// Has it linked, if that is possible here.
pub fn link(folder: &Path) {
    match make(folder) {
        Ok(()) => {
            println!("cargo::rustc-link-search=native={}", folder.display());
            println!("cargo::rustc-link-lib=static:+whole-archive={NAME}");
        }
        Err(why) => println!("cargo::warning=glibc's own start code is linked: {why}"),
    }
}

fn make(folder: &Path) -> Result<(), String> {
    let printed = output(Command::new("cc").arg("-print-file-name=libc.a"))?;
    let library = PathBuf::from(String::from_utf8_lossy(&printed).trim());
    println!("cargo::rerun-if-changed={}", library.display());
    let library = fs::read(&library).map_err(|e| format!("cannot read {}: {e}", library.display()))?;
    let mut object = member(&library, "libc-start.o/").ok_or("libc.a has no libc-start.o")?.to_vec();
    let (told, stays) = Object(&object).functions().ok_or("libc-start.o is not as it was")?;
    told.answer(&mut object).ok_or("handle_intel has no room")?;
    stays.overwrite(&mut object, 0, &[RETURN]).ok_or("get_common_cache_info has no room")?;
    let file = folder.join("libc-start.o");
    let wrong = |e: std::io::Error| format!("cannot write {}: {e}", folder.display());
    fs::write(&file, &object).map_err(wrong)?;
    check(folder, &file)?;
    let archive = folder.join(format!("lib{NAME}.a"));
    let _ = fs::remove_file(&archive);
    output(Command::new("ar").arg("crs").arg(&archive).arg(&file)).map(drop)
}

/// A program with the object says what the caches are.
fn check(folder: &Path, object: &Path) -> Result<(), String> {
    let (source, program) = (folder.join("check.c"), folder.join("check"));
    fs::write(&source, CHECK).map_err(|e| format!("cannot write {}: {e}", source.display()))?;
    output(Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source).arg(object))?;
    output(&mut Command::new(&program)).map(drop).map_err(|_| "this processor is asked otherwise".to_owned())
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("cannot run {shown}: {e}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => {
            Err(format!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("?")))
        }
    }
}

/// A file of an archive (ar(5)).
fn member<'a>(archive: &'a [u8], name: &str) -> Option<&'a [u8]> {
    const HEADER: usize = 60;
    let mut rest = archive.strip_prefix(b"!<arch>\n")?;
    loop {
        let header = rest.get(..HEADER)?;
        let size: usize = std::str::from_utf8(header.get(48..58)?).ok()?.trim().parse().ok()?;
        if header.get(..16)?.trim_ascii_end() == name.as_bytes() {
            return rest.get(HEADER..HEADER + size);
        }
        rest = rest.get(HEADER + size + size % 2..)?;
    }
}

/// An object file (elf(5), 64 bits, little-endian).
struct Object<'a>(&'a [u8]);

/// A section of it.
struct Section {
    sort: u32,
    offset: usize,
    size: usize,
    link: usize,
    info: usize,
}

/// A function: where it is in the file, and where the linker writes into it.
struct Function {
    offset: usize,
    size: usize,
    relocated: Vec<usize>,
}

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 4;

impl Object<'_> {
    fn number<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..offset + N)?.try_into().ok()
    }

    fn u16(&self, offset: usize) -> Option<usize> {
        Some(u16::from_le_bytes(self.number(offset)?).into())
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.number(offset)?))
    }

    fn u64(&self, offset: usize) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.number(offset)?)).ok()
    }

    fn sections(&self) -> Option<Vec<Section>> {
        let (start, size, count) = (self.u64(0x28)?, self.u16(0x3a)?, self.u16(0x3c)?);
        let section = |index| {
            let at = start + index * size;
            Some(Section {
                sort: self.u32(at + 4)?,
                offset: self.u64(at + 24)?,
                size: self.u64(at + 32)?,
                link: usize::try_from(self.u32(at + 40)?).ok()?,
                info: usize::try_from(self.u32(at + 44)?).ok()?,
            })
        };
        (0..count).map(section).collect()
    }

    /// The one that tells sizes, and the one that counts who shares a cache.
    fn functions(&self) -> Option<(Function, Function)> {
        let sections = self.sections()?;
        Some((self.function(&sections, "handle_intel")?, self.function(&sections, "get_common_cache_info")?))
    }

    fn function(&self, sections: &[Section], name: &str) -> Option<Function> {
        let symbols = sections.iter().find(|section| section.sort == SYMBOLS)?;
        let names = sections.get(symbols.link)?;
        let is_it = |at: &usize| {
            let text = self.u32(*at).and_then(|start| self.0.get(names.offset + usize::try_from(start).ok()?..));
            let text = text.and_then(|text| text.split(|byte| *byte == 0).next()).unwrap_or_default();
            // The compiler adds how it made it: handle_intel.constprop.0
            text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
        };
        let at = (symbols.offset..symbols.offset + symbols.size).step_by(24).find(is_it)?;
        let (section, value, size) = (self.u16(at + 6)?, self.u64(at + 8)?, self.u64(at + 16)?);
        let tables = sections.iter().filter(|table| table.sort == RELOCATIONS && table.info == section);
        let places = tables.flat_map(|table| (table.offset..table.offset + table.size).step_by(24));
        let places = places.map(|at| self.u64(at)).collect::<Option<Vec<usize>>>()?;
        let inside = places.into_iter().filter_map(|place| place.checked_sub(value)).filter(|place| *place < size);
        Some(Function { offset: sections.get(section)?.offset + value, size, relocated: inside.collect() })
    }
}

impl Function {
    /// Puts the code that answers where the linker writes nothing, with a jump to it at the beginning.
    fn answer(&self, object: &mut [u8]) -> Option<()> {
        let code = CODE.concat();
        let place = (2..=100).find(|place| self.is_free(*place, code.len()))?;
        self.overwrite(object, 0, &[0xeb, u8::try_from(place - 2).ok()?])?;
        self.overwrite(object, place, &code)
    }

    fn is_free(&self, place: usize, length: usize) -> bool {
        place + length <= self.size && self.relocated.iter().all(|at| at + 4 <= place || *at >= place + length)
    }

    fn overwrite(&self, object: &mut [u8], place: usize, code: &[u8]) -> Option<()> {
        if !self.is_free(place, code.len()) {
            return None;
        }
        object.get_mut(self.offset + place..self.offset + place + code.len())?.copy_from_slice(code);
        Some(())
    }
}
