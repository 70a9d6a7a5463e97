//! Reads what a wasm module imports, to prove that nothing is left that no JavaScript host provides.

/// The distinct module names of the imports, in the order they first appear.
///
/// # Errors
///
/// When the bytes are no wasm module or end too early.
pub(crate) fn imported_modules(wasm: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = Reader { bytes: wasm, at: 0 };
    if reader.take(8)? != b"\0asm\x01\0\0\0" {
        return Err("not a wasm module".into());
    }
    while reader.at < wasm.len() {
        let id = reader.byte()?;
        let length = reader.number()?;
        let section = reader.take(length)?;
        if id == 2 {
            return import_section(section);
        }
    }
    Ok(Vec::new())
}

fn import_section(section: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = Reader { bytes: section, at: 0 };
    let mut modules: Vec<String> = Vec::new();
    for _ in 0..reader.number()? {
        let module = reader.name()?;
        reader.name()?;
        match reader.byte()? {
            0 => {
                reader.number()?;
            }
            1 => {
                reader.byte()?;
                reader.limits()?;
            }
            2 => reader.limits()?,
            3 => {
                reader.take(2)?;
            }
            4 => {
                reader.byte()?;
                reader.number()?;
            }
            kind => return Err(format!("import of unknown kind {kind}")),
        }
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    Ok(modules)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the wasm module ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned LEB128 number of at most 32 bits.
    fn number(&mut self) -> Result<usize, String> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|error| error.to_string());
            }
        }
        Err("a number in the wasm module is too long".into())
    }

    fn name(&mut self) -> Result<String, String> {
        let length = self.number()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn limits(&mut self) -> Result<(), String> {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::imported_modules;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn finds_the_modules_of_every_import_kind() {
        let mut section = vec![3];
        section.extend(b"\x03env\x01f\x00\x00");
        section.extend(b"\x03env\x03mem\x02\x01\x01\x02");
        section.extend(b"\x02js\x01t\x01\x70\x00\x01");
        let mut wasm = HEADER.to_vec();
        wasm.extend([0, 2, 1, b'x', 2, u8::try_from(section.len()).unwrap()]);
        wasm.extend(&section);
        assert_eq!(imported_modules(&wasm).unwrap(), ["env", "js"]);
    }

    #[test]
    fn refuses_what_is_no_module() {
        assert!(imported_modules(b"<html>!!").is_err());
        assert!(imported_modules(b"").is_err());
        let cut = [HEADER, &[2, 9, 1]].concat();
        assert!(imported_modules(&cut).is_err());
        assert_eq!(imported_modules(HEADER).unwrap(), Vec::<String>::new());
    }
}
