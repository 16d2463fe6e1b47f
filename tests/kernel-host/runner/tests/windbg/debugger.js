// As much of WinDbg's scripting interface as driver/windbg/saker.js uses, over a memory image in
// files: what it reads is what WinDbg would read. Runs every command asked for and prints what each
// returned, or why it failed, as JSON: a list with an entry for each variant of the image.
//
//     node debugger.js SCRIPT IMAGE COMMAND [=ARGUMENT] …
//
// IMAGE.json has the regions of IMAGE.bin, the addresses of symbols, what `.enumtag` prints, and the
// variants: lists of bytes that are written over the regions.
'use strict';

const fs = require('fs');
const vm = require('vm');

const [script, image, ...words] = process.argv.slice(2);
const { regions, symbols, enumtag, variants } =
    JSON.parse(fs.readFileSync(`${image}.json`, 'utf8'));
const memory = fs.readFileSync(`${image}.bin`);
let patches = [];

// As the debugger's 64-bit numbers: no arithmetic but by name, and never a plain number.
class Int64 {
    constructor(value) {
        this.value = BigInt.asUintN(64, value);
        Object.freeze(this);
    }

    toString(radix) {
        return this.value.toString(radix);
    }

    [Symbol.toPrimitive]() {
        throw new TypeError('a 64-bit number was used as a plain one');
    }
}

function readMemoryValues(address, count, size) {
    if (!(address instanceof Int64) || size !== 1) {
        throw new TypeError('this debugger reads bytes at 64-bit addresses');
    }
    const from = address.value;
    const region = regions.find(({ start, length }) => from >= BigInt(start)
        && from + BigInt(count) <= BigInt(start) + BigInt(length));
    if (region === undefined) {
        throw new Error(`Unable to read memory at address 0x${from.toString(16)}`);
    }
    const place = region.offset + Number(from - BigInt(region.start));
    const bytes = Uint8Array.from(memory.subarray(place, place + count));
    for (const patch of patches) {
        const written = Buffer.from(patch.bytes, 'hex');
        const at = BigInt(patch.address) - from;
        for (let index = 0n; index < BigInt(written.length); index++) {
            if (at + index >= 0n && at + index < BigInt(count)) {
                bytes[Number(at + index)] = written[Number(index)];
            }
        }
    }
    return bytes;
}

// Text aliases, as the commands `as` and `ad` make and remove them.
const textAliases = new Map();

function executeCommand(text) {
    const [word, ...rest] = text.split(' ');
    if (word === 'as' && rest.length === 2) {
        textAliases.set(rest[0], rest[1]);
    } else if (word === 'ad' && rest[0] === '/q' && rest.length === 2) {
        textAliases.delete(rest[1]);
    } else if (text === '.enumtag') {
        return enumtag;
    } else {
        throw new Error(`this debugger has no command ${text}`);
    }
    return [];
}

const host = {
    apiVersionSupport: class {
        constructor(major, minor) {
            Object.assign(this, { major, minor });
        }
    },
    functionAlias: class {
        constructor(target, name) {
            if (typeof target !== 'function' || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
                throw new TypeError(`${name} is no name for a function alias`);
            }
            Object.assign(this, { target, name });
        }
    },
    parseInt64: (text, radix) => {
        if (radix !== 16 || !/^0x[0-9a-f]{1,16}$/.test(text)) {
            throw new TypeError(`${text} is no 64-bit number in base ${radix}`);
        }
        return new Int64(BigInt(text));
    },
    getModuleSymbolAddress: (module, symbol) => {
        const address = symbols[`${module}!${symbol}`];
        if (address === undefined) {
            throw new Error(`Unable to find ${module}!${symbol}`);
        }
        return new Int64(BigInt(address));
    },
    memory: { readMemoryValues },
    namespace: {
        Debugger: {
            Utility: {
                Control: {
                    ExecuteCommand: executeCommand,
                },
            },
        },
    },
};

const source = new vm.Script(
    `${fs.readFileSync(script, 'utf8')}\n;({ initializeScript, uninitializeScript });`,
    { filename: script },
);

function run() {
    const { initializeScript, uninitializeScript } =
        source.runInContext(vm.createContext({ host }));
    const functions = {};
    for (const alias of initializeScript().filter((one) => one instanceof host.functionAlias)) {
        functions[alias.name] = alias.target;
    }
    const results = {};
    for (let index = 0; index < words.length; index++) {
        const name = words[index];
        const given = index + 1 < words.length && words[index + 1].startsWith('=');
        const argument = given ? words[++index].slice(1) : undefined;
        if (name === 'at') {
            functions.saker(new Int64(BigInt(argument)));
        } else {
            results[name] = outcome(functions, name, argument);
        }
    }
    uninitializeScript();
    if (textAliases.size !== 0) {
        throw new Error('the script leaves text aliases behind');
    }
    return results;
}

function outcome(functions, name, argument) {
    // What is typed is a text alias, what that says a function's, and `dx` has the same function.
    const target = functions[textAliases.get(`!saker.${name}`).slice(1)];
    if (target !== functions.saker()[name]) {
        throw new Error(`!saker.${name} and @$saker().${name} are not the same`);
    }
    try {
        const value = argument === undefined ? target() : target(argument);
        return { value, lines: Array.isArray(value) ? Array.from(value, String) : [] };
    } catch (error) {
        return { error: error.message, kind: error.name };
    }
}

console.log(JSON.stringify(variants.map((variant) => {
    patches = variant;
    return run();
})));
