// SPDX-License-Identifier: MIT
// usage: node.js NODE SOCKET: calls that wait on the node, and a stream through manyport forward.
// Streams of the node itself would each hold one of libuv's four threads for as long as they wait.
'use strict';
const fs = require('fs');
const net = require('net');
const [node, socket] = process.argv.slice(2);

const fd = fs.openSync(node, 'r+');
fs.writeSync(fd, 'echo');
fs.writeSync(fd, 'PING\n');
const bytes = Buffer.alloc(100);
if (bytes.toString('latin1', 0, fs.readSync(fd, bytes, 0, 100, null)) !== 'PING\n')
	throw new Error('not the answer');
fs.closeSync(fd);

const refused = fs.openSync(node, 'r+');
try {
	fs.writeSync(refused, 'nosuch');
	throw new Error('a refused name is no error');
} catch (error) {
	if (error.code !== 'ENOENT')
		throw error;
}
fs.closeSync(refused);

let open = 20;
for (let i = 0; i < 20; i++) {
	const data = Buffer.alloc(100000, String(i));
	const back = [];
	const channel = net.connect(socket);
	channel.on('data', (chunk) => back.push(chunk));
	channel.on('end', () => {
		if (!Buffer.concat(back).equals(data))
			throw new Error('other bytes');
		if (!--open)
			console.log('all');
	});
	channel.end(data);
}
process.on('exit', () => { process.exitCode = open ? 1 : 0; });
