// What saker.sys holds, in WinDbg: on a machine under a kernel debugger, or in a dump.
//
//     .scriptload C:\saker\saker.js
//
//     !saker.status    dx @$saker().status()         how it is doing, and what it has counted
//     !saker.content   dx @$saker().content()        the content in force, and its worker's work
//     !saker.rules     dx @$saker().rules("word")    the rules in force
//     !saker.events    dx @$saker().events()         the last verdicts, and each client's records
//     !saker.process   dx @$saker().process("word")  the processes that it keeps something of
//     !saker.dump      dx @$saker().dump()           what a crash dump was given, however small
//
// Everything is read by way of one static of the driver, `saker::debug_map::MAP`, in which its
// compiler wrote down where its fields are. Without symbols a dump's own block names it; else it is
// found by hand, by how it begins (s -a saker L?40000 "SKRDEBUG"), and handed over:
// dx @$saker(0xfffff80012345678).status().
//
// Nothing here writes, and nothing read is trusted: every count has a bound, and what is not in the
// dump is told. ECMAScript 6 and no more, since that is what the debugger has.
//
// NOT YET RUN IN WINDBG. `cargo test -p kernel-host-runner --test windbg` runs it under Node on the
// memory of the built driver.
'use strict';

// As driver/src/debug_map.rs has them: the version, and the names of what follows the map's head.
const MAP_VERSION = 1;
const FIELDS = [
    'slice.first', 'slice.len', 'mode', 'attached', 'settled', 'stopping', 'events', 'creates',
    'detected', 'blocked', 'exempt', 'unknown', 'not_ready', 'fused', 'untold', 'stack_low',
    'wrong_irql', 'no_memory', 'nameless', 'told', 'dropped', 'active.generation', 'active.even',
    'active.odd', 'active.good', 'active.trip', 'active.file', 'active.may_block',
    'active.allowances', 'allowance.length', 'allowance.untold', 'allowance.owned_up',
    'content.accepted', 'content.refused', 'content.scans', 'refusal.code', 'refusal.offset',
    'refusal.expected', 'refusal.found', 'refusal.epoch', 'refusal.sequence', 'refusal.status',
    'processes', 'processes.stride', 'processes.parts', 'slot.length', 'slot.key', 'slot.process',
    'process.path', 'process.start', 'clients', 'client.length', 'client.ring',
    'client.interest', 'client.process_id', 'client.sent', 'ring.slots', 'ring.head', 'ring.len',
    'ring.dropped', 'record.length', 'record.event', 'record.time', 'record.process_id',
    'record.operation', 'record.verdict', 'record.epoch', 'record.sequence', 'record.hits',
    'record.hit_count', 'hit.length', 'record.name', 'record.name_kept', 'record.image',
    'record.image_kept',
];

const MAP_SYMBOL = 'saker::debug_map::MAP';
const MAP_MAGIC = 'SKRDEBUG';
const MAP_HEAD = 32;
const NOTE_MAGIC = 'SKRNOTE';
const NOTE_VERSION = 0;
const NOTE_LENGTH = 608;
const NOTE_MAP = 88;
const NOTE_HEAD = 96;
const NOTE_SLOTS = 16;
const NOTE_GUID = '9c03ab1c-7c85-510a-41d9-f9d901469276';
const NO_RULE = 0xFFFFFFFF;

// More than the driver ever has; beyond, what was read is no number of its.
const MAX_FILE = 0x1000000;
const MAX_RULES = 0x10000;
const MAX_CLIENTS = 64;
const MAX_SLOTS = 4096;
const MAX_TABLE = 0x100000;

// Where things are in a channel file: docs/channel-format.md.
const FILE_MAGIC = '\x89SAKER\r\n';
const FILE_VERSION = 0;
const FILE_HEADER = 1024;
const DIRECTORY = 160;
const SECTIONS = 10;
const TEXT = 1;
const RULES = 3;
const RULE_LENGTH = 40;

// The words for numbers from 0; '-' is a number that is never there.
const WORDS = {
    protection: 'none degraded full',
    loss: '- no_anchor no_content on_trial refused no_state no_inbox not_attached stale fell_back'
        + ' fuse_tripped settings_refused inbox_unsafe slow not_seen',
    mode: '- observe enforce',
    stage: 'none trial good',
    trip: '- blocks images share',
    operation: 'created connected',
    verdict: 'allow detect block exempt unknown not_ready',
    level: 'unspecified informational low medium high critical',
    action: 'detect block',
    interest: '- status detections everything',
    phase: 'waits loads_good_content looks_into_the_inbox reads_a_header writes_the_attempt_mark'
        + ' reads_a_body runs_the_examples writes_a_slot puts_content_into_force makes_content_good'
        + ' probes_the_filter',
};

// --- What the debugger calls ------------------------------------------------------------------

const COMMANDS = ['status', 'content', 'rules', 'events', 'process', 'dump'];

function initializeScript() {
    const aliases = [
        new host.apiVersionSupport(1, 7),
        new host.functionAlias(saker, 'saker'),
    ];
    const functions = { status, content, rules, events, process, dump };
    for (const name of COMMANDS) {
        aliases.push(new host.functionAlias(functions[name], 'saker_' + name));
        // A function's name takes no dot; a text alias stands for it at the prompt.
        command('as !saker.' + name + ' !saker_' + name);
    }
    return aliases;
}

function uninitializeScript() {
    for (const name of COMMANDS) {
        command('ad /q !saker.' + name);
    }
}

/// The commands; with an address, of a driver whose map is there.
function saker(address) {
    if (address !== undefined) {
        mapAddress = wide(address);
    }
    return { status, content, rules, events, process, dump };
}

let mapAddress = null;

// --- The commands -----------------------------------------------------------------------------

/// How the driver is doing.
function status() {
    const map = findMap();
    const note = readNote(map);
    const sensor = map.sensor();
    if (sensor === null) {
        return { state: 'stopped', version: note.version };
    }
    const count = (name) => sensor.u64(name);
    const state = count8(sensor, 'stopping') ? 'stopping'
        : count8(sensor, 'settled') ? 'running' : 'starting';
    return {
        state,
        version: note.version,
        protection: note.protection,
        mode: word('mode', sensor.u8('mode')),
        attached: count8(sensor, 'attached'),
        content: inForce(map, sensor, (active) => active.summary(), 'none'),
        events: count('events'),
        creates: count('creates'),
        detected: count('detected'),
        blocked: count('blocked'),
        exempt: count('exempt'),
        unknown: count('unknown'),
        not_ready: count('not_ready'),
        fused: count('fused'),
        told: count('told'),
        dropped: count('dropped'),
        untold: count('untold'),
        stack_low: count('stack_low'),
        wrong_irql: count('wrong_irql'),
        no_memory: count('no_memory'),
        nameless: count('nameless'),
    };
}

/// The content in force, and what the content worker has done.
function content() {
    const map = findMap();
    const note = readNote(map);
    const sensor = running(map);
    const refusal = {
        file: sensor.u32('refusal.epoch') + ', ' + sensor.u32('refusal.sequence'),
        code: sensor.u16('refusal.code'),
        status: hex32(sensor.u32('refusal.status')),
        offset: sensor.u32('refusal.offset'),
        expected: sensor.u64('refusal.expected'),
        found: sensor.u64('refusal.found'),
    };
    const stands = refusal.code !== 0 || refusal.status !== '0x00000000';
    return {
        in_force: inForce(map, sensor, (active) => active.facts(), 'none'),
        accepted: sensor.u64('content.accepted'),
        refused: sensor.u64('content.refused'),
        scans: sensor.u64('content.scans'),
        refusal: stands ? refusal : 'none',
        worker: note.worker,
        tried: note.tried,
    };
}

/// The rules in force whose number, id or title contains `part`.
function rules(part) {
    const map = findMap();
    const all = inForce(map, running(map), (active) => active.rules(), []);
    return all.filter((rule) => part === undefined
        || [String(rule.index), rule.id, rule.title].some((text) => contains(text, part)));
}

/// The last verdicts, newest first, and the records that lie in each client's ring.
function events() {
    const map = findMap();
    const note = readNote(map);
    const sensor = map.sensor();
    const titles = sensor === null ? null : titlesOf(map, sensor);
    const named = (verdict) => row(Object.assign({}, verdict, {
        title: titles === null ? '' : titles(verdict.content, verdict.rule),
    }), (told) => told.event + ' ' + told.verdict + ' ' + ruleText(told.rule, told.title));
    return {
        judging: note.judging,
        last: note.verdicts.map(named),
        clients: sensor === null ? [] : clients(map, sensor, titles),
    };
}

/// The processes that the driver keeps something of, of which the image or the start key contains
/// `part`.
function process(part) {
    const map = findMap();
    const sensor = running(map);
    const found = [];
    for (let index = 0; index < atMost(map.at('processes.parts'), 64); index++) {
        const slots = sensor.slice(map.at('processes') + index * map.at('processes.stride'));
        const length = map.at('slot.length');
        for (const slot of records(map, slots, length, MAX_SLOTS)) {
            const key = slot.wide('slot.key');
            if (!isNull(key)) {
                found.push(processOf(map, key, slot));
            }
        }
    }
    return found.filter((one) => part === undefined
        || contains(one.image, part) || contains(one.start_key, part));
}

/// What the driver puts into every crash dump: docs/crash-note.md. From the dump's own blocks, or from
/// the driver's image where the machine has not crashed.
function dump() {
    const block = blockOfDump();
    if (block !== null) {
        return parseNote(new Bytes(block));
    }
    try {
        return readNote(findMap());
    } catch (error) {
        throw new Error(error.message + '; and this is no dump with a block {' + NOTE_GUID
            + '} (.enumtag)');
    }
}

// --- The map ----------------------------------------------------------------------------------

/// Where fields are, by name.
class DebugMap {
    constructor(bytes) {
        this.offsets = {};
        FIELDS.forEach((name, index) => {
            this.offsets[name] = bytes.u16(MAP_HEAD + 2 * index);
        });
        this.place = bytes.wide(16);
        this.note = bytes.wide(24);
    }

    at(name) {
        if (!(name in this.offsets)) {
            throw new Error('saker.js: the map has no field ' + name);
        }
        return this.offsets[name];
    }

    /// The sensor; null while the driver is stopped.
    sensor() {
        const address = read(this.place, 8).wide(0);
        return isNull(address) ? null : new Block(this, address);
    }
}

function findMap() {
    const address = mapAddress === null ? symbolAddress() : mapAddress;
    const head = read(address, MAP_HEAD);
    if (head.ascii(0, 8) !== MAP_MAGIC) {
        throw new Error('at ' + hex(address) + ' is no map of saker.sys: is saker.pdb that of this'
            + ' driver? .reload /f saker.sys');
    }
    const version = head.u32(8);
    if (version !== MAP_VERSION) {
        throw new Error('the driver has map version ' + version + ', this script reads '
            + MAP_VERSION + ': take the saker.js of the same release');
    }
    const length = head.u32(12);
    // The compiler fills the last word up.
    if (Math.ceil((MAP_HEAD + 2 * FIELDS.length) / 8) * 8 !== length) {
        throw new Error('the map is ' + length + ' bytes long and has not the ' + FIELDS.length
            + ' fields of version ' + MAP_VERSION);
    }
    return new DebugMap(read(address, length));
}

function symbolAddress() {
    let address = null;
    try {
        address = host.getModuleSymbolAddress('saker', MAP_SYMBOL);
    } catch (error) {
        // Told below.
    }
    if (address === null || address === undefined) {
        const block = blockOfDump();
        if (block !== null) {
            return new Bytes(block).wide(NOTE_MAP);
        }
        throw new Error('no symbol saker!' + MAP_SYMBOL + ': is saker.sys loaded (lm m saker), and'
            + ' is saker.pdb on the symbol path (.sympath, .reload /f saker.sys)?');
    }
    return wide(address);
}

function running(map) {
    const sensor = map.sensor();
    if (sensor === null) {
        throw new Error('the driver is loaded and does not run: it is starting, or has stopped');
    }
    return sensor;
}

// --- The content in force ---------------------------------------------------------------------

/// What `look` says of the content in force; `otherwise` when there is none.
function inForce(map, sensor, look, otherwise) {
    const odd = sensor.u64('active.generation') % 2 === 1;
    const address = sensor.wide(odd ? 'active.odd' : 'active.even');
    return isNull(address) ? otherwise : look(new Active(map, new Block(map, address)));
}

class Active {
    constructor(map, block) {
        this.map = map;
        this.block = block;
        this.file = block.slice(map.at('active.file'));
        if (this.file.length < FILE_HEADER || this.file.length > MAX_FILE) {
            throw new Error('the content in force says that it has ' + this.file.length + ' bytes');
        }
        this.header = read(this.file.first, FILE_HEADER);
        if (this.header.ascii(0, 8) !== FILE_MAGIC || this.header.u16(8) !== FILE_VERSION) {
            throw new Error('at ' + hex(this.file.first) + ' is no channel file of version '
                + FILE_VERSION);
        }
    }

    get position() {
        return this.header.u32(28) + ', ' + this.header.u32(32);
    }

    get stage() {
        return count8(this.block, 'active.good') ? 'good' : 'trial';
    }

    summary() {
        return 'channel ' + this.header.u32(24) + ', epoch and sequence ' + this.position + ', '
            + this.header.u32(52) + ' rules, ' + this.stage;
    }

    facts() {
        const trip = this.block.u8('active.trip');
        return {
            channel: this.header.u32(24),
            epoch: this.header.u32(28),
            sequence: this.header.u32(32),
            rules: this.header.u32(52),
            stage: this.stage,
            may_block: count8(this.block, 'active.may_block'),
            fuse: trip === 0 ? 'whole' : 'tripped by ' + word('trip', trip),
            address: hex(this.file.first),
            bytes: this.file.length,
        };
    }

    rules() {
        const table = this.section(RULES);
        const count = this.header.u32(52);
        if (count > MAX_RULES || count * RULE_LENGTH !== table.length) {
            throw new Error(count + ' rules do not fill a section of ' + table.length + ' bytes');
        }
        if (count === 0) {
            return [];
        }
        const rows = read(table.first, table.length);
        const text = this.section(TEXT);
        const texts = read(text.first, text.length);
        const untold = this.untold();
        const found = [];
        for (let index = 0; index < count; index++) {
            const at = index * RULE_LENGTH;
            const rule = {
                index,
                id: texts.utf8(rows.u32(at), rows.u32(at + 4)),
                title: texts.utf8(rows.u32(at + 8), rows.u32(at + 12)),
                level: word('level', rows.u8(at + 32)),
                action: word('action', rows.u8(at + 33)),
                untold: untold(index),
            };
            found.push(row(rule, (one) => ruleText(one.index, one.title) + ', ' + one.level + ', '
                + one.action));
        }
        return found;
    }

    /// How many events of a rule nobody was told of since its last record.
    untold() {
        const slots = this.block.slice(this.map.at('active.allowances'));
        const all = records(this.map, slots, this.map.at('allowance.length'), MAX_SLOTS);
        return (index) => {
            if (all.length === 0) {
                return 0;
            }
            const slot = all[index % all.length];
            return (slot.u32('allowance.untold') - slot.u32('allowance.owned_up')) >>> 0;
        };
    }

    section(kind) {
        for (let slot = 0; slot < SECTIONS; slot++) {
            const at = DIRECTORY + 16 * slot;
            const offset = this.header.u32(at + 8);
            const length = this.header.u32(at + 12);
            if (this.header.u16(at) === kind) {
                if (offset + length > this.file.length) {
                    throw new Error('section ' + kind + ' ends behind the file');
                }
                return { first: plus(this.file.first, offset), length };
            }
        }
        return { first: this.file.first, length: 0 };
    }
}

/// A function from a content's position and a rule's number to its title. Only the titles of the
/// content in force are known.
function titlesOf(map, sensor) {
    let position = null;
    let all = [];
    try {
        inForce(map, sensor, (active) => {
            all = active.rules();
            position = active.position;
        }, null);
    } catch (error) {
        // Events are told without titles.
    }
    return (content, rule) => (content === position && rule in all ? all[rule].title : '');
}

function ruleText(index, title) {
    return index === null ? 'no rule' : 'rule ' + index + (title === '' ? '' : ' ' + title);
}

// --- Clients, records, processes --------------------------------------------------------------

function clients(map, sensor, titles) {
    const found = [];
    const all = records(map, sensor.slice(map.at('clients')), map.at('client.length'), MAX_CLIENTS);
    for (const client of all) {
        const interest = client.u8('client.interest');
        if (interest !== 0) {
            found.push(clientOf(map, client, interest, titles));
        }
    }
    return found;
}

function clientOf(map, client, interest, titles) {
    const at = map.at('client.ring');
    const slots = client.slice(at + map.at('ring.slots'));
    const head = client.number(at + map.at('ring.head'), 8);
    const waiting = client.number(at + map.at('ring.len'), 8);
    const all = records(map, slots, map.at('record.length'), MAX_SLOTS);
    if (head >= all.length || waiting > all.length) {
        throw new Error('a ring of ' + all.length + ' says that ' + waiting + ' wait from ' + head);
    }
    const found = [];
    for (let index = 0; index < all.length; index++) {
        const slot = all[(head + index) % all.length];
        if (slot.u64('record.event') !== 0) {
            found.push(recordOf(map, slot, index < waiting, titles));
        }
    }
    found.sort((one, other) => one.event - other.event);
    return {
        process_id: client.u64('client.process_id'),
        interest: word('interest', interest),
        sent: client.u64('client.sent'),
        waiting,
        dropped: client.number(at + map.at('ring.dropped'), 8),
        records: found,
    };
}

function recordOf(map, slot, waits, titles) {
    const content = slot.u32('record.epoch') + ', ' + slot.u32('record.sequence');
    const hits = [];
    const count = atMost(slot.u32('record.hit_count'), 48);
    for (let index = 0; index < count; index++) {
        const rule = slot.number(map.at('record.hits') + index * map.at('hit.length'), 4);
        hits.push(ruleText(rule, titles(content, rule)));
    }
    const record = {
        event: slot.u64('record.event'),
        time: slot.u64('record.time'),
        process_id: slot.u64('record.process_id'),
        operation: word('operation', slot.u8('record.operation')),
        verdict: word('verdict', slot.u8('record.verdict')),
        pipe: slot.text('record.name', slot.u16('record.name_kept')),
        image: slot.text('record.image', slot.u16('record.image_kept')),
        hits,
        content,
        waits,
    };
    return row(record, (told) => told.event + ' ' + told.verdict + ' ' + told.operation + ' '
        + told.pipe + ' by ' + told.process_id + ' ' + told.image);
}

function processOf(map, key, slot) {
    const found = { start_key: hex(key), image: '' };
    // The path lies in paged pool: it may be on the disk, and then it is in no dump.
    try {
        const owned = new Block(map, slot.wide('slot.process'));
        found.image = isNull(owned.wide('process.path')) ? 'System' : pathOf(map, owned);
    } catch (error) {
        found.image = '(' + error.message + ')';
    }
    return row(found, (one) => one.start_key + ' ' + one.image);
}

function pathOf(map, owned) {
    // A UNICODE_STRING: Length, MaximumLength, Buffer.
    const string = read(owned.wide('process.path'), 16);
    const start = owned.u64('process.start');
    const units = Math.floor(string.u16(0) / 2);
    if (start > units) {
        throw new Error('a path of ' + units + ' units that begins at ' + start);
    }
    return units === start ? '' : read(plus(string.wide(8), 2 * start), 2 * (units - start))
        .utf16(0, units - start);
}

// --- The crash note ---------------------------------------------------------------------------

function readNote(map) {
    return parseNote(read(map.note, NOTE_LENGTH));
}

function parseNote(bytes) {
    if (bytes.ascii(0, 7) !== NOTE_MAGIC || bytes.u8(7) !== NOTE_VERSION) {
        throw new Error('this is no crash note of version ' + NOTE_VERSION);
    }
    const pair = (at) => bytes.u32(at + 4) + ', ' + bytes.u32(at);
    const level = word('protection', bytes.u8(16));
    const begun = bytes.u64(56);
    const verdicts = [];
    const written = bytes.u64(80);
    for (let back = 1; back <= Math.min(NOTE_SLOTS, written); back++) {
        const at = NOTE_HEAD + 32 * ((written - back) % NOTE_SLOTS);
        const rule = bytes.u32(at + 24);
        // 0: it was being written.
        if (bytes.u64(at) !== 0) {
            verdicts.push({
                event: bytes.u64(at),
                time: bytes.u64(at + 8),
                content: pair(at + 16),
                verdict: word('verdict', bytes.u32(at + 28)),
                rule: rule === NO_RULE ? null : rule,
            });
        }
    }
    return {
        version: [bytes.u16(8), bytes.u16(10), bytes.u16(12)].join('.'),
        protection: bytes.u8(17) === 0 ? level : level + ' (' + word('loss', bytes.u8(17)) + ')',
        mode: bytes.u8(18) === 0 ? 'not yet known' : word('mode', bytes.u8(18)),
        stage: word('stage', bytes.u8(19)),
        attached: bytes.u8(20) !== 0,
        content: pair(24),
        digest: bytes.hexBytes(32, 8),
        worker: word('phase', bytes.u8(40)),
        tried: pair(48),
        judging: begun === bytes.u64(64) ? 'nothing' : 'event ' + begun,
        verdicts,
    };
}

/// The block's bytes, as `.enumtag` prints them; null when there is none.
function blockOfDump() {
    const bytes = [];
    let inBlock = false;
    for (const line of command('.enumtag')) {
        if (/^\s*\{/.test(line)) {
            inBlock = contains(line, NOTE_GUID);
        } else if (inBlock) {
            // Sixteen bytes in hex, then the same as text.
            const words = line.trim().split(/[\s-]+/).slice(0, 16);
            const end = words.findIndex((text) => !/^[0-9a-fA-F]{2}$/.test(text));
            const hexadecimal = end < 0 ? words : words.slice(0, end);
            hexadecimal.forEach((text) => bytes.push(parseInt(text, 16)));
        }
    }
    return bytes.length < NOTE_LENGTH ? null : bytes.slice(0, NOTE_LENGTH);
}

function command(text) {
    try {
        const lines = [];
        for (const line of host.namespace.Debugger.Utility.Control.ExecuteCommand(text)) {
            lines.push(String(line));
        }
        return lines;
    } catch (error) {
        return [];
    }
}

// --- Memory -----------------------------------------------------------------------------------

/// Bytes that were read.
class Bytes {
    constructor(values) {
        this.values = values;
    }

    u8(at) {
        if (!(at >= 0 && at < this.values.length)) {
            throw new Error('byte ' + at + ' of ' + this.values.length);
        }
        return this.values[at];
    }

    u16(at) {
        return this.u8(at) + this.u8(at + 1) * 0x100;
    }

    u32(at) {
        return this.u16(at) + this.u16(at + 2) * 0x10000;
    }

    /// A number up to 2^53: no counter of the driver gets there in a thousand years.
    u64(at) {
        return this.u32(at) + this.u32(at + 4) * 0x100000000;
    }

    wide(at) {
        return { high: this.u32(at + 4), low: this.u32(at) };
    }

    part(at, length) {
        if (at + length > this.values.length) {
            throw new Error('bytes ' + at + ' to ' + (at + length) + ' of ' + this.values.length);
        }
        return new Bytes(this.values.slice(at, at + length));
    }

    ascii(at, length) {
        let text = '';
        for (let index = 0; index < length; index++) {
            text += String.fromCharCode(this.u8(at + index));
        }
        return text;
    }

    utf8(at, length) {
        let escaped = '';
        for (let index = 0; index < length; index++) {
            escaped += '%' + byteText(this.u8(at + index));
        }
        try {
            return decodeURIComponent(escaped);
        } catch (error) {
            return this.ascii(at, length);
        }
    }

    utf16(at, units) {
        let text = '';
        for (let index = 0; index < units; index++) {
            text += String.fromCharCode(this.u16(at + 2 * index));
        }
        return text;
    }

    hexBytes(at, length) {
        let text = '';
        for (let index = 0; index < length; index++) {
            text += byteText(this.u8(at + index));
        }
        return text;
    }
}

/// A structure of the driver, whose fields the map names. Each is read when it is asked for, or all
/// at once where the bytes are there already.
class Block {
    constructor(map, address, bytes) {
        this.map = map;
        this.address = address;
        this.bytes = bytes === undefined ? null : bytes;
    }

    number(at, length) {
        const value = this.part(at, length);
        return length === 1 ? value.u8(0) : length === 2 ? value.u16(0)
            : length === 4 ? value.u32(0) : value.u64(0);
    }

    part(at, length) {
        return this.bytes === null ? read(plus(this.address, at), length)
            : this.bytes.part(at, length);
    }

    u8(name) {
        return this.number(this.map.at(name), 1);
    }

    u16(name) {
        return this.number(this.map.at(name), 2);
    }

    u32(name) {
        return this.number(this.map.at(name), 4);
    }

    u64(name) {
        return this.number(this.map.at(name), 8);
    }

    wide(name) {
        return this.wideAt(this.map.at(name));
    }

    wideAt(at) {
        return { high: this.number(at + 4, 4), low: this.number(at, 4) };
    }

    text(name, units) {
        const kept = atMost(units, 520);
        return this.part(this.map.at(name), 2 * kept).utf16(0, kept);
    }

    /// The slice at an offset.
    slice(at) {
        return {
            first: this.wideAt(at + this.map.at('slice.first')),
            length: this.number(at + this.map.at('slice.len'), 8),
        };
    }
}

/// The structures in a slice.
function records(map, slice, length, most) {
    if (slice.length > most || length === 0 || slice.length * length > MAX_TABLE) {
        throw new Error('a table says that it has ' + slice.length + ' entries of ' + length
            + ' bytes, which is not believed');
    }
    if (slice.length === 0) {
        return [];
    }
    const all = read(slice.first, slice.length * length);
    const found = [];
    for (let index = 0; index < slice.length; index++) {
        const at = index * length;
        found.push(new Block(map, plus(slice.first, at), all.part(at, length)));
    }
    return found;
}

/// Bytes of the machine's memory.
function read(address, length) {
    let values = [];
    try {
        if (length > 0) {
            const from = host.parseInt64(hex(address), 16);
            values = Array.from(host.memory.readMemoryValues(from, length, 1));
        }
    } catch (error) {
        // Told below.
    }
    if (values.length !== length) {
        throw new Error('not to be read: ' + length + ' bytes at ' + hex(address)
            + ' (paged out, or not in this dump)');
    }
    return new Bytes(values);
}

// --- Small things -----------------------------------------------------------------------------

// Addresses are kept as two halves: a number of the language holds 53 bits.
function wide(value) {
    const text = value.toString(16).replace(/^0x/, '');
    if (!/^[0-9a-fA-F]{1,16}$/.test(text)) {
        throw new Error(text + ' is no address');
    }
    const whole = ('0000000000000000' + text).slice(-16);
    return { high: parseInt(whole.slice(0, 8), 16), low: parseInt(whole.slice(8), 16) };
}

function plus(address, offset) {
    const low = address.low + offset;
    return {
        high: (address.high + Math.floor(low / 0x100000000)) % 0x100000000,
        low: low % 0x100000000,
    };
}

function isNull(address) {
    return address.high === 0 && address.low === 0;
}

function hex(address) {
    return '0x' + digits(address.high, 8) + digits(address.low, 8);
}

function hex32(number) {
    return '0x' + digits(number, 8);
}

function digits(number, width) {
    let text = number.toString(16);
    while (text.length < width) {
        text = '0' + text;
    }
    return text;
}

function byteText(byte) {
    return digits(byte, 2);
}

function word(list, number) {
    const words = WORDS[list].split(' ');
    return number < words.length ? words[number].replace(/_/g, list === 'phase' ? ' ' : '_')
        : list + ' ' + number;
}

function count8(block, name) {
    return block.u8(name) !== 0;
}

function atMost(number, most) {
    if (number > most) {
        throw new Error(number + ' is not believed: at most ' + most);
    }
    return number;
}

function contains(text, part) {
    return text.toLowerCase().indexOf(String(part).toLowerCase()) >= 0;
}

/// Has the debugger show an object in one line; its members are a click away.
function row(object, text) {
    Object.defineProperty(object, 'toString', { value: () => text(object), enumerable: false });
    return object;
}
