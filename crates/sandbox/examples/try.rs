use bourn_reapi::{Cas, Command, EnvironmentVariable, Executor};
use bourn_reapi::services::*;
use std::sync::Arc;
fn main() {
    let mut args = std::env::args().skip(1);
    let cache = args.next().unwrap();
    let sysroot = args.next().unwrap();
    let n: usize = args.next().unwrap().parse().unwrap();
    let command: Vec<String> = args.collect();
    let store = Arc::new(bourn_cas::Store::open(cache.as_ref()).unwrap());
    let digest_file = std::path::Path::new(&cache).join("digest");
    let root = match std::fs::read_to_string(&digest_file) { Ok(d) => d.parse().unwrap(), Err(_) => {
        let d = store.import_tree(sysroot.as_ref(), &ImportOptions::default()).unwrap();
        std::fs::write(&digest_file, d.to_string()).unwrap(); d } };
    let ballast: Vec<u8> = match std::env::var("BALLAST") { Ok(mb) => (0..mb.parse::<usize>().unwrap() << 20).map(|i| i as u8).collect(), _ => vec![] };
    let executor = bourn_sandbox::LocalExecutor::new(store.clone(), &std::path::Path::new(&cache).join("build")).unwrap();
    let env = [("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/tmp"), ("LC_ALL", "C")];
    let execution = Execution {
        input_root: root, prefixes: vec![],
        command: Command { arguments: command, environment_variables: env.iter().map(|(n, v)| EnvironmentVariable { name: n.to_string(), value: v.to_string() }).collect(),
            working_directory: "/buildstream/p/e.bst".into(), output_paths: vec!["/buildstream-install".into()], ..Default::default() },
        writable: vec!["/buildstream/p/e.bst".into(), "/buildstream-install".into()], root_read_only: std::env::var("RW").is_err(), network: std::env::var("NET").is_ok(),
        uid: 0, gid: 0, mounts: vec![], streams: if std::env::var("SHELL_IN").is_ok() { Streams::Inherit } else { Streams::Log }, hostname: None };
    let mut times = vec![];
    for _ in 0..n {
        let t = std::time::Instant::now();
        let result = executor.execute(&execution, &mut std::io::stdout(), &Cancel::default());
        times.push(t.elapsed());
        if n == 1 { println!("{result:?}"); } else { result.unwrap(); }
    }
    times.sort();
    eprintln!("min {:?} median {:?} max {:?} ballast {}", times[0], times[n / 2], times[n - 1], ballast.len());
}
