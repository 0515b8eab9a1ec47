// The npm module portscanner over all ports of this host, one after the other.
'use strict';

const portscanner = require('portscanner');

async function main() {
	let open = 0;

	for (let port = 1; port <= 65535; port++)
		if ((await portscanner.checkPortStatus(port, '127.0.0.1')) === 'open')
			open++;
	console.log(open);
}

main();
