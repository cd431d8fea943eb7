const ms = require('ms');
require('http').createServer((_, answer) => answer.end(`an hour is ${ms('1h')} ms\n`)).listen(process.env.PORT);
